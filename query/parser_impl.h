#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "query/ast.h"
#include "query/lexer.h"
#include "query/parser.h"

namespace varve::promql {

/// A parsed expression and the height of its tree.
struct ParsedExpr {
  ExprPtr expr;
  int height = 1;
};
struct ParsedDuration {
  std::unique_ptr<DurationExpr> expr;
  int height = 1;
};

/// Recursive descent with precedence climbing over one query. It reads one
/// token ahead, and only where the grammar needs it: which of two errors comes
/// first depends on that, and must be the one Prometheus reports.
///
/// The members stand in files by job: parser.cc (expressions and tokens),
/// parser_call.cc (functions, aggregations, vector matching),
/// parser_selector.cc (selectors and what may follow them),
/// parser_duration.cc (durations).
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text), lexer_(text) {}

  absl::StatusOr<ExprPtr> ParseQuery();
  absl::StatusOr<std::vector<Matcher>> ParseSelector();

 private:
  /// What an unexpected token is reported with when the construct around it has
  /// no words of its own.
  struct Context {
    std::string_view in;
    std::string_view expected;
  };

  /// Sets the context while a construct is parsed.
  class ContextScope {
   public:
    ContextScope(Parser* parser, Context context)
        : parser_(parser), outer_(parser->context_) {
      parser->context_ = context;
    }
    ~ContextScope() { parser_->context_ = outer_; }
    ContextScope(const ContextScope&) = delete;
    ContextScope& operator=(const ContextScope&) = delete;

   private:
    Parser* const parser_;
    const Context outer_;
  };

  /// Counts the recursion.
  class DepthScope {
   public:
    explicit DepthScope(Parser* parser) : parser_(parser) { ++parser->depth_; }
    ~DepthScope() { --parser_->depth_; }
    DepthScope(const DepthScope&) = delete;
    DepthScope& operator=(const DepthScope&) = delete;

   private:
    Parser* const parser_;
  };

  // Tokens.
  const Lexeme& Peek();
  Lexeme Take();
  absl::StatusOr<Lexeme> Expect(Token token);

  // Errors.
  absl::Status Error(int32_t position, std::string_view what) const;
  absl::Status Unexpected() {
    return Unexpected(context_.in, context_.expected);
  }
  absl::Status Unexpected(std::string_view in, std::string_view expected);
  absl::Status LexerError() const;
  absl::Status CheckHeight(int height, int32_t position) const;

  // Expressions.
  absl::StatusOr<ParsedExpr> ParseBinary(int precedence_min);
  absl::StatusOr<ParsedExpr> ParseUnary();
  absl::StatusOr<ParsedExpr> ParsePrimary();
  absl::StatusOr<ParsedExpr> ParseParen();
  absl::StatusOr<ParsedExpr> ParseNumberLiteral();
  absl::StatusOr<double> ParseNumberValue();
  absl::StatusOr<ParsedExpr> ParseWord();

  // Functions, aggregations, vector matching.
  absl::StatusOr<ParsedExpr> ParseCall(const Lexeme& name);
  absl::StatusOr<ParsedExpr> ParseAggregate(const Lexeme& name);
  absl::StatusOr<std::vector<ParsedExpr>> ParseArguments();
  absl::Status ParseGroupingClause(AggregateExpr* aggregate);
  absl::StatusOr<std::vector<std::string>> ParseGrouping();
  absl::StatusOr<std::string> ParseGroupingLabel();
  absl::Status ParseModifiers(BinaryExpr* binary);
  absl::Status ParseFill(VectorMatching* matching);
  absl::StatusOr<double> ParseFillValue();

  // Selectors and what may follow them.
  absl::StatusOr<std::unique_ptr<VectorSelector>> ParseVectorSelector(
      const Lexeme& name);
  absl::StatusOr<std::unique_ptr<VectorSelector>> ParseBraces();
  absl::Status ParseMatchers(std::vector<Matcher>* matchers);
  absl::StatusOr<Matcher> ParseMatcher();
  absl::StatusOr<ParsedExpr> ParsePostfix(ParsedExpr operand);
  absl::StatusOr<ParsedExpr> ParseBracket(ParsedExpr operand);
  absl::StatusOr<ParsedExpr> MakeMatrix(ParsedExpr operand,
                                        const Lexeme& bracket,
                                        ParsedDuration range);
  absl::Status ParseOffset(Expr* expr);
  absl::Status ParseAt(Expr* expr);
  absl::Status ParseExtension(Expr* expr, bool anchored);
  absl::Status SetTimestamp(Expr* expr, double seconds);

  // Durations.
  absl::StatusOr<ParsedDuration> ParsePositiveDuration();
  absl::StatusOr<ParsedDuration> ParseDurationBinary(int precedence_min);
  absl::StatusOr<ParsedDuration> ParseDurationUnary();
  absl::StatusOr<ParsedDuration> ParseDurationPrimary();
  absl::StatusOr<ParsedDuration> ParseDurationLiteral();
  absl::StatusOr<ParsedDuration> ParseDurationFunction();
  absl::StatusOr<ParsedDuration> ParseOffsetDuration();
  absl::StatusOr<ParsedDuration> NegateDuration(const Lexeme& sign,
                                                ParsedDuration operand);

  const std::string_view text_;
  Lexer lexer_;
  Lexeme next_;
  bool peeked_ = false;
  int32_t last_end_ = 0;  ///< end of the last token taken
  int depth_ = 0;
  Context context_;
};

/// The precedence of a binary operator, from 1; 0 if it is none.
int BinaryPrecedence(Token token);
inline constexpr int kMulPrecedence = 5;
inline constexpr int kPowPrecedence = 6;

/// True for the tokens that may be the name of a metric before braces.
bool CanBeMetricName(Token token);

/// Milliseconds of a literal in seconds, rounded as Prometheus does.
int64_t DurationMs(double seconds);

/// Checks types and what else the grammar cannot say. Changes the tree where
/// the meaning depends on types (matching). Text is the query.
absl::Status CheckTypes(std::string_view text, Expr* expr);

/// `line:column: parse error: what`.
absl::Status ParseError(std::string_view text, int32_t position,
                        std::string_view what);

}  // namespace varve::promql
