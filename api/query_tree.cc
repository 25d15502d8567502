// A query's syntax tree as JSON.

#include "api/json_writer.h"
#include "api/varve.h"
#include "query/parser.h"
#include "query/text.h"

namespace varve {
namespace {

using namespace promql;  // NOLINT: a walk over all of its node types

std::string_view TypeName(ValueType type) {
  switch (type) {
    case ValueType::kScalar:
      return "scalar";
    case ValueType::kVector:
      return "vector";
    case ValueType::kMatrix:
      return "matrix";
    case ValueType::kString:
      return "string";
    case ValueType::kNone:
      break;
  }
  return "none";
}

std::string_view CardinalityName(Cardinality card) {
  switch (card) {
    case Cardinality::kOneToOne:
      return "one-to-one";
    case Cardinality::kManyToOne:
      return "many-to-one";
    case Cardinality::kOneToMany:
      return "one-to-many";
    case Cardinality::kManyToMany:
      break;
  }
  return "many-to-many";
}

std::string_view OperatorName(DurationExpr::Kind kind) {
  static constexpr std::string_view kNames[] = {
      "",  "step", "range", "min_of", "max_of", "-",
      "+", "-",    "*",     "/",      "%",      "^"};
  return kNames[static_cast<size_t>(kind)];
}

/// Objects in the form of Prometheus's, keys in alphabetical order. The parser
/// bounds the height of the tree, and so the recursion.
class TreeWriter {
 public:
  explicit TreeWriter(std::string* out) : json_(out) {}

  void Write(const Expr& expr) {
    json_.BeginObject();
    switch (expr.kind) {
      case ExprKind::kNumber:
        Literal("numberLiteral", FormatFixed(As<NumberLiteral>(expr).value));
        break;
      case ExprKind::kString:
        Literal("stringLiteral", As<StringLiteral>(expr).value);
        break;
      case ExprKind::kVectorSelector:
        Selector(As<VectorSelector>(expr), nullptr);
        break;
      case ExprKind::kMatrixSelector:
        Selector(*As<MatrixSelector>(expr).selector, &As<MatrixSelector>(expr));
        break;
      case ExprKind::kSubquery:
        Subquery(As<SubqueryExpr>(expr));
        break;
      case ExprKind::kCall:
        FunctionCall(As<Call>(expr));
        break;
      case ExprKind::kAggregate:
        Aggregate(As<AggregateExpr>(expr));
        break;
      case ExprKind::kBinary:
        Binary(As<BinaryExpr>(expr));
        break;
      case ExprKind::kUnary:
        Child("expr", As<UnaryExpr>(expr).expr);
        json_.Field("op", As<UnaryExpr>(expr).negative ? "-" : "+")
            .Field("type", "unaryExpr");
        break;
      case ExprKind::kParen:
        Child("expr", As<ParenExpr>(expr).expr);
        json_.Field("type", "parenExpr");
        break;
    }
    json_.EndObject();
  }

 private:
  void Literal(std::string_view type, std::string_view value) {
    json_.Field("type", type).Field("val", value);
  }

  void Child(std::string_view key, const ExprPtr& expr) {
    json_.Key(key);
    if (expr) {
      Write(*expr);
    } else {
      json_.Null();
    }
  }

  void Names(std::string_view key, const std::vector<std::string>& names) {
    json_.Key(key).BeginArray();
    for (const std::string& name : names) json_.String(name);
    json_.EndArray();
  }

  void Selector(const VectorSelector& s, const MatrixSelector* range) {
    if (s.anchored) json_.Key("anchored").Bool(true);
    json_.Key("matchers").BeginArray();
    for (const Matcher& m : s.matchers) {
      json_.BeginObject()
          .Field("name", m.name())
          .Field("type", varve::ToString(m.type()))
          .Field("value", m.value())
          .EndObject();
    }
    json_.EndArray().Field("name", s.name);
    Offset(s.shift);
    if (range != nullptr) Range(range->range_ms, range->range_expr.get());
    if (s.smoothed) json_.Key("smoothed").Bool(true);
    Anchor(s.shift);
    At(s.shift);
    json_.Field("type", range == nullptr ? "vectorSelector" : "matrixSelector");
  }

  void Subquery(const SubqueryExpr& s) {
    Child("expr", s.expr);
    Offset(s.shift);
    Range(s.range_ms, s.range_expr.get());
    Anchor(s.shift);
    json_.Field("step", s.step_ms);
    Computed("stepExpr", s.step_expr.get());
    At(s.shift);
    json_.Field("type", "subquery");
  }

  void FunctionCall(const Call& call) {
    json_.Key("args").BeginArray();
    for (const ExprPtr& argument : call.arguments) Write(*argument);
    json_.EndArray().Key("func").BeginObject().Key("argTypes").BeginArray();
    const FunctionSignature& function = *call.function;
    for (size_t i = 0; i < function.arguments.size(); ++i) {
      json_.String(TypeName(function.arguments[i]));
    }
    json_.EndArray()
        .Field("name", function.name)
        .Field("returnType", TypeName(function.result))
        .Field("variadic", int64_t{function.variadic})
        .EndObject()
        .Field("type", "call");
  }

  void Aggregate(const AggregateExpr& a) {
    Child("expr", a.expr);
    Names("grouping", a.grouping);
    json_.Field("op", ToString(a.op));
    Child("param", a.parameter);
    json_.Field("type", "aggregation").Key("without").Bool(a.without);
  }

  void Binary(const BinaryExpr& b) {
    json_.Key("bool").Bool(b.return_bool);
    Child("lhs", b.lhs);
    json_.Key("matching");
    if (b.matching) {
      Matching(*b.matching);
    } else {
      json_.Null();
    }
    json_.Field("op", ToString(b.op));
    Child("rhs", b.rhs);
    json_.Field("type", "binaryExpr");
  }

  void Matching(const VectorMatching& m) {
    json_.BeginObject().Field("card", CardinalityName(m.card));
    if (m.fill_lhs || m.fill_rhs) {
      json_.Key("fillValues").BeginObject();
      if (m.fill_lhs) json_.Field("lhs", FormatFixed(*m.fill_lhs));
      if (m.fill_rhs) json_.Field("rhs", FormatFixed(*m.fill_rhs));
      json_.EndObject();
    }
    Names("include", m.include);
    Names("labels", m.labels);
    json_.Key("on").Bool(m.on).EndObject();
  }

  void Offset(const TimeShift& shift) {
    json_.Field("offset", shift.offset_ms);
    Computed("offsetExpr", shift.offset_expr.get());
  }
  void Range(int64_t range_ms, const DurationExpr* computed) {
    json_.Field("range", range_ms);
    Computed("rangeExpr", computed);
  }
  void Anchor(const TimeShift& shift) {
    json_.Key("startOrEnd");
    if (shift.anchor == AtAnchor::kStart) {
      json_.String("start");
    } else if (shift.anchor == AtAnchor::kEnd) {
      json_.String("end");
    } else {
      json_.Null();
    }
  }
  void At(const TimeShift& shift) {
    json_.Key("timestamp");
    if (shift.anchor == AtAnchor::kTimestamp) {
      json_.Int(shift.at_ms);
    } else {
      json_.Null();
    }
  }

  /// A duration that the text computes; nothing for a plain one.
  void Computed(std::string_view key, const DurationExpr* expr) {
    if (expr == nullptr) return;
    json_.Key(key);
    Duration(*expr);
  }
  void Duration(const DurationExpr& expr) {
    json_.BeginObject();
    if (expr.kind == DurationExpr::Kind::kLiteral) {
      Literal("numberLiteral", FormatFixed(expr.value));
    } else {
      Computed("lhs", expr.lhs.get());
      json_.Field("op", OperatorName(expr.kind));
      Computed("rhs", expr.rhs.get());
      json_.Field("type", "durationExpr").Key("wrapped").Bool(expr.wrapped);
    }
    json_.EndObject();
  }

  JsonWriter json_;
};

}  // namespace

absl::StatusOr<std::string> QueryTree(std::string_view query) {
  VARVE_ASSIGN_OR_RETURN(const ExprPtr expr, ParseExpr(query));
  std::string out;
  TreeWriter(&out).Write(*expr);
  return out;
}

}  // namespace varve
