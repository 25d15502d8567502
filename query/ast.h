#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/matcher.h"

namespace varve::promql {

/// Bytes [start, end) of the query text.
struct PositionRange {
  int32_t start = 0;
  int32_t end = 0;
  friend bool operator==(const PositionRange&, const PositionRange&) = default;
};

enum class ValueType : uint8_t { kNone, kScalar, kVector, kMatrix, kString };
/// "scalar", "instant vector", "range vector", "string": as in error texts.
std::string_view DocumentedType(ValueType type);

enum class ExprKind : uint8_t {
  kNumber,
  kString,
  kVectorSelector,
  kMatrixSelector,
  kSubquery,
  kCall,
  kAggregate,
  kBinary,
  kUnary,
  kParen,
};

enum class BinaryOp : uint8_t {
  kAdd,
  kSub,
  kMul,
  kDiv,
  kMod,
  kPow,
  kAtan2,
  kEql,
  kNeq,
  kGtr,
  kLss,
  kGte,
  kLte,
  kAnd,
  kOr,
  kUnless,
  kTrimUpper,  ///< `</`: histogram trim
  kTrimLower,  ///< `>/`
};
std::string_view ToString(BinaryOp op);
inline bool IsComparison(BinaryOp op) {
  return op >= BinaryOp::kEql && op <= BinaryOp::kLte;
}
inline bool IsSetOperator(BinaryOp op) {
  return op >= BinaryOp::kAnd && op <= BinaryOp::kUnless;
}

enum class AggregateOp : uint8_t {
  kSum,
  kAvg,
  kCount,
  kMin,
  kMax,
  kGroup,
  kStddev,
  kStdvar,
  kTopk,
  kBottomk,
  kQuantile,
  kCountValues,
  kLimitk,
  kLimitRatio,
};
std::string_view ToString(AggregateOp op);

/// An expression node. Trees are immutable after parsing and type checking; the
/// parser bounds their height (kHeightMax), so recursion over them is safe.
struct Expr {
  explicit Expr(ExprKind k) : kind(k) {}
  virtual ~Expr() = default;

  const ExprKind kind;
  PositionRange position;
};
using ExprPtr = std::unique_ptr<Expr>;

struct NumberLiteral final : Expr {
  NumberLiteral() : Expr(ExprKind::kNumber) {}
  double value = 0;
  bool duration = false;  ///< written as a duration, prints as one
};

struct StringLiteral final : Expr {
  StringLiteral() : Expr(ExprKind::kString) {}
  std::string value;
};

/// A duration that is computed when the query's step and range are known:
/// `5m * 2`, `step()`, `max_of(step(), 1m)`. A literal needs none of this.
struct DurationExpr {
  enum class Kind : uint8_t {
    kLiteral,  ///< value, in seconds
    kStep,     ///< step()
    kRange,    ///< range()
    kMinOf,    ///< min_of(lhs, rhs)
    kMaxOf,
    kNegate,  ///< -rhs
    kAdd,
    kSub,
    kMul,
    kDiv,
    kMod,
    kPow,
  };
  Kind kind = Kind::kLiteral;
  double value = 0;
  bool duration = false;  ///< a literal written as a duration
  bool wrapped = false;   ///< written in parentheses
  PositionRange position;
  std::unique_ptr<DurationExpr> lhs;
  std::unique_ptr<DurationExpr> rhs;
};

enum class AtAnchor : uint8_t { kNone, kTimestamp, kStart, kEnd };

/// `offset` and `@`, which selectors and subqueries share.
struct TimeShift {
  int64_t offset_ms = 0;
  std::unique_ptr<DurationExpr> offset_expr;  ///< replaces offset_ms when set
  AtAnchor anchor = AtAnchor::kNone;
  int64_t at_ms = 0;  ///< for AtAnchor::kTimestamp
};

struct VectorSelector final : Expr {
  VectorSelector() : Expr(ExprKind::kVectorSelector) {}
  /// The name before the braces; "" if there is none. A name inside of them
  /// (`{"x"}`, `{__name__="x"}`) is only a matcher.
  std::string name;
  /// All matchers, the one for __name__ included.
  std::vector<Matcher> matchers;
  TimeShift shift;
  bool anchored = false;
  bool smoothed = false;
};

struct MatrixSelector final : Expr {
  MatrixSelector() : Expr(ExprKind::kMatrixSelector) {}
  std::unique_ptr<VectorSelector> selector;
  int64_t range_ms = 0;
  std::unique_ptr<DurationExpr> range_expr;
};

struct SubqueryExpr final : Expr {
  SubqueryExpr() : Expr(ExprKind::kSubquery) {}
  ExprPtr expr;
  int64_t range_ms = 0;
  std::unique_ptr<DurationExpr> range_expr;
  int64_t step_ms = 0;  ///< 0: the default step
  std::unique_ptr<DurationExpr> step_expr;
  TimeShift shift;
};

/// The types of a function's arguments: a list that a constant can hold.
class ArgumentTypes {
 public:
  constexpr ArgumentTypes(std::initializer_list<ValueType> types) {
    for (const ValueType type : types) types_[size_++] = type;
  }
  constexpr size_t size() const { return size_; }
  constexpr bool empty() const { return size_ == 0; }
  constexpr ValueType operator[](size_t i) const { return types_[i]; }
  constexpr ValueType back() const { return types_[size_ - 1]; }

 private:
  std::array<ValueType, 5> types_ = {};
  size_t size_ = 0;
};

/// A function as the parser knows it; one immutable table for all.
struct FunctionSignature {
  std::string_view name;
  ArgumentTypes arguments;
  /// 0: exactly the arguments; n > 0: the last argument may repeat, up to n
  /// more than arguments.size() - 1 (and may be missing); -1: without limit.
  int variadic = 0;
  ValueType result = ValueType::kVector;
  bool experimental = false;
};
/// nullptr when there is no function of that name.
const FunctionSignature* FindFunction(std::string_view name);

struct Call final : Expr {
  Call() : Expr(ExprKind::kCall) {}
  const FunctionSignature* function = nullptr;
  std::vector<ExprPtr> arguments;
};

struct AggregateExpr final : Expr {
  AggregateExpr() : Expr(ExprKind::kAggregate) {}
  AggregateOp op = AggregateOp::kSum;
  ExprPtr expr;
  ExprPtr parameter;  ///< k of topk, the label of count_values; or null
  std::vector<std::string> grouping;
  bool without = false;
};

enum class Cardinality : uint8_t {
  kOneToOne,
  kManyToOne,
  kOneToMany,
  kManyToMany
};

struct VectorMatching {
  Cardinality card = Cardinality::kOneToOne;
  std::vector<std::string> labels;  ///< of on() or ignoring()
  bool on = false;
  std::vector<std::string> include;  ///< of group_left() / group_right()
  std::optional<double> fill_lhs;    ///< fill_left(), fill()
  std::optional<double> fill_rhs;
};

struct BinaryExpr final : Expr {
  BinaryExpr() : Expr(ExprKind::kBinary) {}
  BinaryOp op = BinaryOp::kAdd;
  PositionRange op_position;
  ExprPtr lhs;
  ExprPtr rhs;
  /// Set exactly when both sides are vectors.
  std::optional<VectorMatching> matching;
  bool return_bool = false;
};

struct UnaryExpr final : Expr {
  UnaryExpr() : Expr(ExprKind::kUnary) {}
  bool negative = false;
  ExprPtr expr;
};

struct ParenExpr final : Expr {
  ParenExpr() : Expr(ExprKind::kParen) {}
  ExprPtr expr;
};

ValueType TypeOf(const Expr& expr);
/// The canonical text, as Prometheus's Expr.String().
std::string ToString(const Expr& expr);

/// REQUIRES: the node's kind is the one of T.
template <typename T>
const T& As(const Expr& expr) {
  return static_cast<const T&>(expr);
}
template <typename T>
T& As(Expr& expr) {
  return static_cast<T&>(expr);
}

}  // namespace varve::promql
