#include <absl/strings/ascii.h>

#include <algorithm>
#include <utility>

#include "query/parser_impl.h"
#include "query/text.h"
#include "storage/labels.h"
#include "storage/status_macros.h"

// Functions, aggregations and vector matching.

namespace varve::promql {
namespace {

bool TakesParameter(AggregateOp op) { return op >= AggregateOp::kTopk; }

bool CanStartExpr(Token token) {
  switch (token) {
    case Token::kLeftParen:
    case Token::kLeftBrace:
    case Token::kNumber:
    case Token::kDuration:
    case Token::kString:
    case Token::kAdd:
    case Token::kSub:
      return true;
    default:
      return CanBeMetricName(token);
  }
}

/// Words that may be a label in by(), on() and the like. `without` is none in
/// Prometheus's grammar.
bool CanBeLabel(Token token) {
  if (token == Token::kIdentifier || token == Token::kMetricIdentifier) {
    return true;
  }
  if (IsAggregator(token) || token >= Token::kStart) return true;
  if (IsKeyword(token)) return token != Token::kWithout;
  return token == Token::kAnd || token == Token::kOr ||
         token == Token::kUnless || token == Token::kAtan2;
}

bool IsFill(Token token) {
  return token >= Token::kFill && token <= Token::kFillRight;
}

int HeightOf(const std::vector<ParsedExpr>& arguments) {
  int height = 0;
  for (const ParsedExpr& argument : arguments) {
    height = std::max(height, argument.height);
  }
  return height + 1;
}

}  // namespace

absl::StatusOr<ParsedExpr> Parser::ParseCall(const Lexeme& name) {
  VARVE_ASSIGN_OR_RETURN(auto arguments, ParseArguments());
  auto call = std::make_unique<Call>();
  call->position = {name.start, last_end_};
  const std::string function =
      name.token == Token::kIdentifier
          ? std::string(name.text)
          : absl::AsciiStrToLower({name.text.data(), name.text.size()});
  call->function = FindFunction(function);
  if (call->function == nullptr) {
    return Error(name.start, fmt::format("unknown function with name {}",
                                         Quote(name.text)));
  }
  const int height = HeightOf(arguments);
  VARVE_RETURN_IF_ERROR(CheckHeight(height, name.start));
  for (ParsedExpr& argument : arguments) {
    call->arguments.push_back(std::move(argument.expr));
  }
  return ParsedExpr{std::move(call), height};
}

absl::StatusOr<std::vector<ParsedExpr>> Parser::ParseArguments() {
  VARVE_RETURN_IF_ERROR(Expect(Token::kLeftParen).status());
  std::vector<ParsedExpr> arguments;
  if (Peek().token == Token::kRightParen) {
    Take();
    return arguments;
  }
  for (;;) {
    VARVE_ASSIGN_OR_RETURN(ParsedExpr argument, ParseBinary(1));
    arguments.push_back(std::move(argument));
    if (Peek().token != Token::kComma) break;
    const Lexeme comma = Take();
    if (Peek().token == Token::kError) return LexerError();
    if (!CanStartExpr(Peek().token)) {
      return Error(comma.start,
                   "trailing commas not allowed in function call args");
    }
  }
  VARVE_RETURN_IF_ERROR(Expect(Token::kRightParen).status());
  return arguments;
}

absl::StatusOr<ParsedExpr> Parser::ParseAggregate(const Lexeme& name) {
  const ContextScope scope(this, {"aggregation", ""});
  auto aggregate = std::make_unique<AggregateExpr>();
  aggregate->op = static_cast<AggregateOp>(static_cast<int>(name.token) -
                                           static_cast<int>(Token::kSum));
  const bool clause_first = Peek().token != Token::kLeftParen;
  if (clause_first) VARVE_RETURN_IF_ERROR(ParseGroupingClause(aggregate.get()));
  VARVE_ASSIGN_OR_RETURN(auto arguments, ParseArguments());
  if (!clause_first) {
    const Token next = Peek().token;
    if (next == Token::kError) return LexerError();
    if (next == Token::kBy || next == Token::kWithout) {
      VARVE_RETURN_IF_ERROR(ParseGroupingClause(aggregate.get()));
    }
  }
  aggregate->position = {name.start, last_end_};
  if (arguments.empty()) {
    return Error(name.start, "no arguments for aggregate expression provided");
  }
  const size_t count = TakesParameter(aggregate->op) ? 2 : 1;
  if (arguments.size() != count) {
    return Error(name.start,
                 fmt::format("wrong number of arguments for aggregate "
                             "expression provided, expected {}, got {}",
                             count, arguments.size()));
  }
  const int height = HeightOf(arguments);
  VARVE_RETURN_IF_ERROR(CheckHeight(height, name.start));
  aggregate->expr = std::move(arguments.back().expr);
  if (count == 2) aggregate->parameter = std::move(arguments.front().expr);
  return ParsedExpr{std::move(aggregate), height};
}

// REQUIRES: the next token is `by` or `without`.
absl::Status Parser::ParseGroupingClause(AggregateExpr* aggregate) {
  aggregate->without = Take().token == Token::kWithout;
  VARVE_ASSIGN_OR_RETURN(aggregate->grouping, ParseGrouping());
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> Parser::ParseGrouping() {
  if (Peek().token != Token::kLeftParen) {
    return Unexpected("grouping opts", "\"(\"");
  }
  Take();
  std::vector<std::string> labels;
  while (Peek().token != Token::kRightParen) {
    VARVE_ASSIGN_OR_RETURN(std::string label, ParseGroupingLabel());
    labels.push_back(std::move(label));
    if (Peek().token == Token::kRightParen) break;
    if (Peek().token != Token::kComma) {
      return Unexpected("grouping opts", "\",\" or \")\"");
    }
    Take();
  }
  Take();
  return labels;
}

absl::StatusOr<std::string> Parser::ParseGroupingLabel() {
  if (Peek().token == Token::kString) {
    const Lexeme lexeme = Take();
    std::string label = Unquote(lexeme.text);
    if (label.empty() || !IsValidUtf8(label)) {
      return Error(lexeme.start, fmt::format("invalid label name for grouping: "
                                             "{}",
                                             Quote(label)));
    }
    return label;
  }
  if (!CanBeLabel(Peek().token)) return Unexpected("grouping opts", "label");
  return std::string(Take().text);
}

// What may stand between a binary operator and its right side.
absl::Status Parser::ParseModifiers(BinaryExpr* binary) {
  VectorMatching& matching = binary->matching.emplace();
  if (Peek().token == Token::kBool) {
    Take();
    binary->return_bool = true;
  }
  if (Peek().token == Token::kOn || Peek().token == Token::kIgnoring) {
    matching.on = Take().token == Token::kOn;
    VARVE_ASSIGN_OR_RETURN(matching.labels, ParseGrouping());
    const Token next = Peek().token;
    if (next == Token::kGroupLeft || next == Token::kGroupRight) {
      Take();
      matching.card = next == Token::kGroupLeft ? Cardinality::kManyToOne
                                                : Cardinality::kOneToMany;
      const Token label = Peek().token;
      const bool none = label != Token::kLeftParen && CanStartExpr(label);
      if (!none && !IsFill(label)) {
        VARVE_ASSIGN_OR_RETURN(matching.include, ParseGrouping());
      }
    }
  }
  return ParseFill(&matching);
}

absl::Status Parser::ParseFill(VectorMatching* matching) {
  const Token first = Peek().token;
  if (first == Token::kFill) {
    Take();
    VARVE_ASSIGN_OR_RETURN(matching->fill_lhs, ParseFillValue());
    matching->fill_rhs = matching->fill_lhs;
    return absl::OkStatus();
  }
  const auto one_side = [&](Token token) -> absl::Status {
    if (Peek().token != token) return absl::OkStatus();
    Take();
    auto& side =
        token == Token::kFillLeft ? matching->fill_lhs : matching->fill_rhs;
    VARVE_ASSIGN_OR_RETURN(side, ParseFillValue());
    return absl::OkStatus();
  };
  const bool right_first = first == Token::kFillRight;
  VARVE_RETURN_IF_ERROR(
      one_side(right_first ? Token::kFillRight : Token::kFillLeft));
  return one_side(right_first ? Token::kFillLeft : Token::kFillRight);
}

absl::StatusOr<double> Parser::ParseFillValue() {
  VARVE_RETURN_IF_ERROR(Expect(Token::kLeftParen).status());
  bool negative = false;
  if (Peek().token == Token::kAdd || Peek().token == Token::kSub) {
    negative = Take().token == Token::kSub;
  }
  VARVE_ASSIGN_OR_RETURN(const double value, ParseNumberValue());
  VARVE_RETURN_IF_ERROR(Expect(Token::kRightParen).status());
  return negative ? -value : value;
}

}  // namespace varve::promql
