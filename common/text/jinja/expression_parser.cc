#include "common/text/jinja/expression_parser.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "common/text/jinja/methods.h"

namespace bitnetd::text::jinja {

namespace {

std::optional<Value> constant(const std::string& name) {
    if (name == "true" || name == "True") return Value(true);
    if (name == "false" || name == "False") return Value(false);
    if (name == "none" || name == "None") return Value(None{});
    return std::nullopt;
}

}  // namespace

ExpressionParser::Node ExpressionParser::node(ExprKind kind) const {
    auto result = std::make_unique<Expr>();
    result->kind = kind;
    result->line = tokens_.line();
    return result;
}

Result<ExprPtr> ExpressionParser::finish(Node result) const {
    uint32_t depth = 0;
    for (const ExprPtr& operand : result->operands) {
        if (operand) depth = std::max(depth, operand->depth + 1);
    }
    for (const Argument& argument : result->arguments) {
        depth = std::max(depth, argument.value->depth + 1);
    }
    if (depth > kExpressionDepthMax) return error_at(result->line, "the expression is too long");
    result->depth = depth;
    return ExprPtr(std::move(result));
}

Result<ExprPtr> ExpressionParser::unary_node(ExprKind kind, ExprPtr operand) const {
    Node result = node(kind);
    result->operands.push_back(std::move(operand));
    return finish(std::move(result));
}

Result<ExprPtr> ExpressionParser::binary_node(ExprKind kind, ExprPtr left, ExprPtr right,
                                              char op) const {
    Node result = node(kind);
    result->op = op;
    result->operands.push_back(std::move(left));
    result->operands.push_back(std::move(right));
    return finish(std::move(result));
}

Result<ExprPtr> ExpressionParser::expression() {
    if (nesting_ >= kExpressionNestingMax) {
        return error_at(tokens_.line(), "expressions are nested too deeply");
    }
    ++nesting_;
    Result<ExprPtr> result = conditional();
    --nesting_;
    return result;
}

Result<ExprPtr> ExpressionParser::expression_or_tuple() {
    BITNETD_ASSIGN(ExprPtr first, expression());
    return tuple_rest(std::move(first), &ExpressionParser::expression);
}

Result<ExprPtr> ExpressionParser::iterable() {
    BITNETD_ASSIGN(ExprPtr first, or_rule());
    return tuple_rest(std::move(first), &ExpressionParser::or_rule);
}

// `first` alone, or with what follows its comma a tuple.
Result<ExprPtr> ExpressionParser::tuple_rest(ExprPtr first, Rule item) {
    if (!tokens_.is_operator(",")) return first;
    Node tuple = node(ExprKind::kList);
    tuple->operands.push_back(std::move(first));
    while (tokens_.skip_operator(",")) {
        const bool ends = tokens_.is_operator(")") || tokens_.is(TokenKind::kBlockEnd) ||
                          tokens_.is(TokenKind::kPrintEnd);
        if (ends) break;
        BITNETD_ASSIGN(ExprPtr next, (this->*item)());
        tuple->operands.push_back(std::move(next));
    }
    return finish(std::move(tuple));
}

Result<ExprPtr> ExpressionParser::conditional() {
    BITNETD_ASSIGN(ExprPtr value, or_rule());
    while (tokens_.is_name("if")) {
        Node result = node(ExprKind::kConditional);
        tokens_.advance();
        BITNETD_ASSIGN(ExprPtr condition, or_rule());
        ExprPtr otherwise;
        if (tokens_.skip_name("else")) {
            BITNETD_ASSIGN(otherwise, expression());
        }
        result->operands.push_back(std::move(condition));
        result->operands.push_back(std::move(value));
        result->operands.push_back(std::move(otherwise));
        BITNETD_ASSIGN(value, finish(std::move(result)));
    }
    return value;
}

Result<ExprPtr> ExpressionParser::or_rule() {
    BITNETD_ASSIGN(ExprPtr left, and_rule());
    while (tokens_.skip_name("or")) {
        BITNETD_ASSIGN(ExprPtr right, and_rule());
        BITNETD_ASSIGN(left, binary_node(ExprKind::kOr, std::move(left), std::move(right)));
    }
    return left;
}

Result<ExprPtr> ExpressionParser::and_rule() {
    BITNETD_ASSIGN(ExprPtr left, not_rule());
    while (tokens_.skip_name("and")) {
        BITNETD_ASSIGN(ExprPtr right, not_rule());
        BITNETD_ASSIGN(left, binary_node(ExprKind::kAnd, std::move(left), std::move(right)));
    }
    return left;
}

Result<ExprPtr> ExpressionParser::not_rule() {
    size_t count = 0;
    while (tokens_.skip_name("not"))
        ++count;
    if (count > kExpressionNestingMax) return error_at(tokens_.line(), "too many 'not'");
    BITNETD_ASSIGN(ExprPtr value, comparison());
    for (; count > 0; --count) {
        BITNETD_ASSIGN(value, unary_node(ExprKind::kNot, std::move(value)));
    }
    return value;
}

Result<ExprPtr> ExpressionParser::comparison() {
    constexpr std::pair<std::string_view, CompareOp> kOps[] = {
        {"==", CompareOp::kEqual},  {"!=", CompareOp::kUnequal},
        {"<", CompareOp::kLess},    {"<=", CompareOp::kLessEqual},
        {">", CompareOp::kGreater}, {">=", CompareOp::kGreaterEqual},
    };
    const auto take_op = [&]() -> std::optional<CompareOp> {
        for (const auto& [text, op] : kOps) {
            if (tokens_.skip_operator(text)) return op;
        }
        if (tokens_.skip_name("in")) return CompareOp::kIn;
        const Token& next = tokens_.next();
        if (tokens_.is_name("not") && next.kind == TokenKind::kName && next.text == "in") {
            tokens_.advance();
            tokens_.advance();
            return CompareOp::kNotIn;
        }
        return std::nullopt;
    };
    BITNETD_ASSIGN(ExprPtr first, sum());
    Node result = node(ExprKind::kCompare);
    result->operands.push_back(std::move(first));
    while (const auto op = take_op()) {
        BITNETD_ASSIGN(ExprPtr next, sum());
        result->ops.push_back(*op);
        result->operands.push_back(std::move(next));
    }
    if (result->ops.empty()) return std::move(result->operands[0]);
    return finish(std::move(result));
}

Result<ExprPtr> ExpressionParser::sum() {
    BITNETD_ASSIGN(ExprPtr left, concatenation());
    while (tokens_.is_operator("+") || tokens_.is_operator("-")) {
        const char op = tokens_.current().text[0];
        tokens_.advance();
        BITNETD_ASSIGN(ExprPtr right, concatenation());
        BITNETD_ASSIGN(left,
                       binary_node(ExprKind::kArithmetic, std::move(left), std::move(right), op));
    }
    return left;
}

Result<ExprPtr> ExpressionParser::concatenation() {
    BITNETD_ASSIGN(ExprPtr first, product());
    if (!tokens_.is_operator("~")) return first;
    Node result = node(ExprKind::kConcat);
    result->operands.push_back(std::move(first));
    while (tokens_.skip_operator("~")) {
        BITNETD_ASSIGN(ExprPtr next, product());
        result->operands.push_back(std::move(next));
    }
    return finish(std::move(result));
}

Result<ExprPtr> ExpressionParser::product() {
    BITNETD_ASSIGN(ExprPtr left, unary());
    while (tokens_.is_operator("*") || tokens_.is_operator("/") || tokens_.is_operator("//") ||
           tokens_.is_operator("%")) {
        const char op = tokens_.current().text == "//" ? 'i' : tokens_.current().text[0];
        tokens_.advance();
        BITNETD_ASSIGN(ExprPtr right, unary());
        BITNETD_ASSIGN(left,
                       binary_node(ExprKind::kArithmetic, std::move(left), std::move(right), op));
    }
    return left;
}

// A sign binds closer than a filter: -x | abs is (-x) | abs.
Result<ExprPtr> ExpressionParser::unary() {
    BITNETD_ASSIGN(ExprPtr value, unary_operand());
    return postfix_and_filters(std::move(value));
}

Result<ExprPtr> ExpressionParser::unary_operand() {
    std::vector<ExprKind> signs;
    while (tokens_.is_operator("-") || tokens_.is_operator("+")) {
        signs.push_back(tokens_.is_operator("-") ? ExprKind::kNegate : ExprKind::kPlus);
        if (signs.size() > kExpressionNestingMax) return error_at(tokens_.line(), "too many signs");
        tokens_.advance();
    }
    BITNETD_ASSIGN(ExprPtr value, primary());
    BITNETD_ASSIGN(value, postfix(std::move(value)));
    for (; !signs.empty(); signs.pop_back()) {
        BITNETD_ASSIGN(value, unary_node(signs.back(), std::move(value)));
    }
    return value;
}

Result<ExprPtr> ExpressionParser::primary() {
    const Token token = tokens_.current();
    switch (token.kind) {
        case TokenKind::kName: {
            Node result = node(ExprKind::kName);
            if (const auto value = constant(token.text)) {
                result->kind = ExprKind::kLiteral;
                result->literal = *value;
            }
            result->name = token.text;
            tokens_.advance();
            return finish(std::move(result));
        }
        case TokenKind::kString: {
            Node result = node(ExprKind::kLiteral);
            std::string text;  // neighbouring strings are one
            for (; tokens_.is(TokenKind::kString); tokens_.advance())
                text += tokens_.current().text;
            result->literal = literal(text);
            return finish(std::move(result));
        }
        case TokenKind::kInteger:
        case TokenKind::kFloat:
            return number();
        default:
            break;
    }
    if (tokens_.skip_operator("(")) {
        if (tokens_.skip_operator(")")) return finish(node(ExprKind::kList));
        BITNETD_ASSIGN(ExprPtr value, expression_or_tuple());
        BITNETD_TRY(tokens_.expect_operator(")"));
        return value;
    }
    if (tokens_.skip_operator("[")) return list_rest();
    if (tokens_.skip_operator("{")) return dict_rest();
    return tokens_.unexpected("an expression");
}

Result<ExprPtr> ExpressionParser::number() {
    Node result = node(ExprKind::kLiteral);
    const std::string text = tokens_.current().text;
    const char* end = text.data() + text.size();
    bool good = false;
    if (tokens_.is(TokenKind::kInteger)) {
        int64_t value = 0;
        good = std::from_chars(text.data(), end, value).ec == std::errc();
        result->literal = Value(value);
    } else {
        double value = 0;
        good = std::from_chars(text.data(), end, value).ec == std::errc();
        result->literal = Value(value);
    }
    if (!good) return tokens_.unexpected("a number in range");
    tokens_.advance();
    return finish(std::move(result));
}

Result<ExprPtr> ExpressionParser::list_rest() {
    Node result = node(ExprKind::kList);
    while (!tokens_.is_operator("]")) {
        BITNETD_ASSIGN(ExprPtr item, expression());
        result->operands.push_back(std::move(item));
        if (!tokens_.skip_operator(",")) break;
    }
    BITNETD_TRY(tokens_.expect_operator("]"));
    return finish(std::move(result));
}

Result<ExprPtr> ExpressionParser::dict_rest() {
    Node result = node(ExprKind::kDict);
    while (!tokens_.is_operator("}")) {
        BITNETD_ASSIGN(ExprPtr key, expression());
        BITNETD_TRY(tokens_.expect_operator(":"));
        BITNETD_ASSIGN(ExprPtr value, expression());
        result->operands.push_back(std::move(key));
        result->operands.push_back(std::move(value));
        if (!tokens_.skip_operator(",")) break;
    }
    BITNETD_TRY(tokens_.expect_operator("}"));
    return finish(std::move(result));
}

Result<ExprPtr> ExpressionParser::postfix(ExprPtr subject) {
    while (true) {
        if (tokens_.skip_operator(".")) {
            Node result = node(ExprKind::kAttribute);
            if (tokens_.is(TokenKind::kInteger)) {
                BITNETD_ASSIGN(ExprPtr index, number());
                BITNETD_ASSIGN(subject, binary_node(ExprKind::kSubscript, std::move(subject),
                                                    std::move(index)));
                continue;
            }
            BITNETD_ASSIGN(result->name, tokens_.expect_name("an attribute"));
            result->operands.push_back(std::move(subject));
            BITNETD_ASSIGN(subject, finish(std::move(result)));
        } else if (tokens_.skip_operator("[")) {
            BITNETD_ASSIGN(subject, subscript(std::move(subject)));
        } else if (tokens_.is_operator("(")) {
            BITNETD_ASSIGN(subject, call(std::move(subject)));
        } else {
            return subject;
        }
    }
}

Result<ExprPtr> ExpressionParser::postfix_and_filters(ExprPtr subject) {
    BITNETD_ASSIGN(subject, postfix(std::move(subject)));
    while (tokens_.is_operator("|") || tokens_.is_name("is")) {
        if (tokens_.is_name("is")) {
            BITNETD_ASSIGN(subject, test(std::move(subject)));
        } else {
            BITNETD_ASSIGN(subject, filters(std::move(subject)));
        }
    }
    return subject;
}

// Behind "[": an index, or bounds with colons.
Result<ExprPtr> ExpressionParser::subscript(ExprPtr subject) {
    Node result = node(ExprKind::kSlice);
    result->operands.push_back(std::move(subject));
    size_t colons = 0;
    ExprPtr part;
    while (!tokens_.is_operator("]")) {
        if (tokens_.skip_operator(":")) {
            if (++colons > 2) return tokens_.unexpected("']'");
            result->operands.push_back(std::move(part));
        } else {
            if (part) return tokens_.unexpected("':' or ']'");
            BITNETD_ASSIGN(part, expression());
        }
    }
    BITNETD_TRY(tokens_.expect_operator("]"));
    if (colons == 0 && !part) return tokens_.unexpected("an index before it");
    result->operands.push_back(std::move(part));
    if (colons == 0)
        result->kind = ExprKind::kSubscript;
    else
        result->operands.resize(4);
    return finish(std::move(result));
}

Result<std::vector<Argument>> ExpressionParser::arguments() {
    BITNETD_TRY(tokens_.expect_operator("("));
    std::vector<Argument> result;
    while (!tokens_.is_operator(")")) {
        Argument argument;
        const Token& next = tokens_.next();
        if (tokens_.is(TokenKind::kName) && next.kind == TokenKind::kOperator && next.text == "=") {
            argument.name = tokens_.current().text;
            tokens_.advance();
            tokens_.advance();
        } else if (!result.empty() && !result.back().name.empty()) {
            return tokens_.unexpected("a named argument");
        }
        BITNETD_ASSIGN(argument.value, expression());
        result.push_back(std::move(argument));
        if (!tokens_.skip_operator(",")) break;
    }
    BITNETD_TRY(tokens_.expect_operator(")"));
    return result;
}

// Only a name or an attribute can be called: there are no function values.
Result<ExprPtr> ExpressionParser::call(ExprPtr callee) {
    Node result = node(ExprKind::kCall);
    BITNETD_ASSIGN(result->arguments, arguments());
    result->name = callee->name;
    if (callee->kind == ExprKind::kName) {
        result->function = find_function(callee->name);
        if (result->function == nullptr) called_.emplace_back(callee->name, callee->line);
    } else if (callee->kind == ExprKind::kAttribute) {
        if (!is_known_method(callee->name)) {
            return error_at(callee->line, "unknown method ." + callee->name + "()");
        }
        result->kind = ExprKind::kMethodCall;
        result->operands = std::move(callee->operands);
    } else {
        return error_at(callee->line, "this cannot be called");
    }
    return finish(std::move(result));
}

Result<ExprPtr> ExpressionParser::filters(ExprPtr subject) {
    while (tokens_.skip_operator("|")) {
        Node result = node(ExprKind::kFilter);
        BITNETD_ASSIGN(result->name, tokens_.expect_name("a filter"));
        result->filter = find_filter(result->name);
        if (result->filter == nullptr) {
            return error_at(result->line, "unknown filter '" + result->name + "'");
        }
        if (tokens_.is_operator("(")) {
            BITNETD_ASSIGN(result->arguments, arguments());
        }
        result->operands.push_back(std::move(subject));
        BITNETD_ASSIGN(subject, finish(std::move(result)));
    }
    return subject;
}

Result<ExprPtr> ExpressionParser::test(ExprPtr subject) {
    tokens_.advance();  // is
    const bool negated = tokens_.skip_name("not");
    Node result = node(ExprKind::kTest);
    BITNETD_ASSIGN(result->name, tokens_.expect_name("a test"));
    result->test = find_test(result->name);
    if (result->test == nullptr) {
        return error_at(result->line, "unknown test '" + result->name + "'");
    }
    const bool bare_argument =
        tokens_.is(TokenKind::kString) || tokens_.is(TokenKind::kInteger) ||
        tokens_.is(TokenKind::kFloat) || tokens_.is_operator("[") || tokens_.is_operator("{") ||
        (tokens_.is(TokenKind::kName) && !tokens_.is_name("else") && !tokens_.is_name("or") &&
         !tokens_.is_name("and") && !tokens_.is_name("is") && !tokens_.is_name("if") &&
         !tokens_.is_name("in") && !tokens_.is_name("not"));
    if (tokens_.is_operator("(")) {
        BITNETD_ASSIGN(result->arguments, arguments());
    } else if (bare_argument) {
        BITNETD_ASSIGN(ExprPtr value, primary());
        BITNETD_ASSIGN(value, postfix(std::move(value)));
        result->arguments.push_back({"", std::move(value)});
    }
    result->operands.push_back(std::move(subject));
    BITNETD_ASSIGN(ExprPtr value, finish(std::move(result)));
    if (!negated) return value;
    return unary_node(ExprKind::kNot, std::move(value));
}

}  // namespace bitnetd::text::jinja
