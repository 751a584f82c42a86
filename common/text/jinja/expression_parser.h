// Expressions, by precedence: a if c else b; or; and; not; comparisons; + -; ~; * / // %; unary;
// postfix; filters and tests. Names of filters, tests and methods are resolved here, so an unknown
// one is an error of loading. Nesting is bounded.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "common/text/jinja/ast.h"
#include "common/text/jinja/token_stream.h"

namespace bitnetd::text::jinja {

// Levels of parentheses, and of the tree that results.
inline constexpr uint32_t kExpressionNestingMax = 48;
inline constexpr uint32_t kExpressionDepthMax = 200;

class ExpressionParser {
  public:
    explicit ExpressionParser(TokenStream& tokens) : tokens_(tokens) {}

    // One expression; with commas, a tuple.
    Result<ExprPtr> expression();
    Result<ExprPtr> expression_or_tuple();
    // As above, but without `a if c else b`: what follows `in` of a for.
    Result<ExprPtr> iterable();
    // "| filter | filter ..." applied to `subject`.
    Result<ExprPtr> filters(ExprPtr subject);

    // Names that are called as functions and are none of ours: they must be macros.
    const std::vector<std::pair<std::string, uint32_t>>& called() const { return called_; }

  private:
    using Node = std::unique_ptr<Expr>;
    using Rule = Result<ExprPtr> (ExpressionParser::*)();

    Result<ExprPtr> conditional();
    Result<ExprPtr> or_rule();
    Result<ExprPtr> and_rule();
    Result<ExprPtr> not_rule();
    Result<ExprPtr> comparison();
    Result<ExprPtr> sum();
    Result<ExprPtr> concatenation();
    Result<ExprPtr> product();
    Result<ExprPtr> unary();
    Result<ExprPtr> unary_operand();
    Result<ExprPtr> primary();
    Result<ExprPtr> number();
    Result<ExprPtr> list_rest();
    Result<ExprPtr> dict_rest();
    Result<ExprPtr> tuple_rest(ExprPtr first, Rule item);
    Result<ExprPtr> postfix(ExprPtr subject);
    Result<ExprPtr> postfix_and_filters(ExprPtr subject);
    Result<ExprPtr> subscript(ExprPtr subject);
    Result<ExprPtr> call(ExprPtr callee);
    Result<ExprPtr> test(ExprPtr subject);
    Result<std::vector<Argument>> arguments();

    Node node(ExprKind kind) const;
    // Completes a node: its depth, or an error when that is too much.
    Result<ExprPtr> finish(Node node) const;
    Result<ExprPtr> unary_node(ExprKind kind, ExprPtr operand) const;
    Result<ExprPtr> binary_node(ExprKind kind, ExprPtr left, ExprPtr right, char op = 0) const;

    TokenStream& tokens_;
    uint32_t nesting_ = 0;
    std::vector<std::pair<std::string, uint32_t>> called_;
};

}  // namespace bitnetd::text::jinja
