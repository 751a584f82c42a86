// Interpreter, second half: expressions.
#include "common/text/jinja/interpreter.h"
#include "common/text/jinja/lexer.h"
#include "common/text/jinja/methods.h"
#include "common/text/jinja/value_ops.h"

namespace bitnetd::text::jinja {

// Adds the line to errors that do not have one yet: the innermost expression knows best.
Result<Value> Interpreter::evaluate(const Expr& expr) {
    const Deeper level(depth_);
    if (depth_ > kRunDepthMax) return error_at(expr.line, "nested too deeply");
    BITNETD_TRY(context_.budget.spend());
    Result<Value> value = evaluate_inner(expr);
    if (value.ok() || value.error().message.starts_with("line ")) return value;
    return Error{value.error().code, error_at(expr.line, value.error().message).message};
}

Result<Value> Interpreter::evaluate_inner(const Expr& expr) {
    switch (expr.kind) {
        case ExprKind::kLiteral:
            return expr.literal;
        case ExprKind::kName:
            return variable(expr.name);
        case ExprKind::kList:
            return evaluate_list(expr);
        case ExprKind::kDict:
            return evaluate_dict(expr);
        case ExprKind::kSlice:
            return evaluate_slice(expr);
        case ExprKind::kCall:
            return evaluate_call(expr);
        case ExprKind::kAnd:
        case ExprKind::kOr:
            return evaluate_logic(expr);
        case ExprKind::kConditional:
            return evaluate_conditional(expr);
        case ExprKind::kCompare:
            return evaluate_compare(expr);
        case ExprKind::kConcat:
            return evaluate_concat(expr);
        default:
            break;
    }
    // All others have a first operand that is always evaluated.
    BITNETD_ASSIGN(const Value first, evaluate(*expr.operands[0]));
    switch (expr.kind) {
        case ExprKind::kNot:
            return Value(!is_true(first));
        case ExprKind::kNegate:
            return negate(first);
        case ExprKind::kPlus:
            return arithmetic(context_, '+', Value(int64_t{0}), first);
        case ExprKind::kAttribute:
            return attribute(context_, first, expr.name);
        case ExprKind::kSubscript: {
            BITNETD_ASSIGN(const Value key, evaluate(*expr.operands[1]));
            return subscript(context_, first, key);
        }
        case ExprKind::kArithmetic: {
            BITNETD_ASSIGN(const Value second, evaluate(*expr.operands[1]));
            return arithmetic(context_, expr.op, first, second);
        }
        default:
            break;
    }
    BITNETD_ASSIGN(const Arguments arguments, evaluate_arguments(expr.arguments));
    if (expr.kind == ExprKind::kMethodCall) {
        return call_method(context_, first, expr.name, arguments);
    }
    if (expr.kind == ExprKind::kTest) {
        auto holds = expr.test(context_, first, arguments);
        if (!holds) return std::move(holds).error().within("test '" + expr.name + "'");
        return Value(*holds);
    }
    auto filtered = expr.filter(context_, first, arguments);
    if (!filtered) return std::move(filtered).error().within("filter '" + expr.name + "'");
    return filtered;
}

Result<Value> Interpreter::evaluate_list(const Expr& expr) {
    List items;
    for (const ExprPtr& operand : expr.operands) {
        BITNETD_ASSIGN(Value item, evaluate(*operand));
        items.push_back(std::move(item));
    }
    return Value::list(std::move(items));
}

Result<Value> Interpreter::evaluate_dict(const Expr& expr) {
    Dict dict;
    for (size_t i = 0; i + 1 < expr.operands.size(); i += 2) {
        BITNETD_ASSIGN(const Value key, evaluate(*expr.operands[i]));
        BITNETD_ASSIGN(Value value, evaluate(*expr.operands[i + 1]));
        if (!key.is(Kind::kString)) return invalid("the key of a dict must be a string");
        // Of equal keys the last counts, in the place of the first.
        BITNETD_TRY(context_.budget.spend(dict.items.size() / 8));
        bool replaced = false;
        for (DictItem& item : dict.items) {
            if (item.first.str() != key.str()) continue;
            item.second = value;
            replaced = true;
        }
        if (!replaced) dict.items.emplace_back(key.text(), std::move(value));
    }
    return Value::dict(std::move(dict));
}

Result<Value> Interpreter::evaluate_slice(const Expr& expr) {
    Value parts[4];
    for (size_t i = 0; i < 4; ++i) {
        if (expr.operands[i]) {
            BITNETD_ASSIGN(parts[i], evaluate(*expr.operands[i]));
        }
    }
    return slice(context_, parts[0], parts[1], parts[2], parts[3]);
}

Result<Arguments> Interpreter::evaluate_arguments(const std::vector<Argument>& arguments) {
    Arguments result;
    for (const Argument& argument : arguments) {
        BITNETD_ASSIGN(Value value, evaluate(*argument.value));
        if (argument.name.empty())
            result.positional.push_back(std::move(value));
        else
            result.named.emplace_back(argument.name, std::move(value));
    }
    return result;
}

Result<Value> Interpreter::evaluate_call(const Expr& expr) {
    BITNETD_ASSIGN(const Arguments arguments, evaluate_arguments(expr.arguments));
    if (expr.function != nullptr) {
        auto result = expr.function(context_, arguments);
        if (!result) return std::move(result).error().within(expr.name + "()");
        return result;
    }
    const Value callee = variable(expr.name);
    if (!callee.is(Kind::kMacro)) return invalid("'" + expr.name + "' is not defined yet");
    return call_macro(*callee.macro(), arguments);
}

// `and` and `or` give the operand that decided, as in Python.
Result<Value> Interpreter::evaluate_logic(const Expr& expr) {
    BITNETD_ASSIGN(const Value left, evaluate(*expr.operands[0]));
    const bool decided = is_true(left) == (expr.kind == ExprKind::kOr);
    return decided ? left : evaluate(*expr.operands[1]);
}

Result<Value> Interpreter::evaluate_conditional(const Expr& expr) {
    BITNETD_ASSIGN(const Value condition, evaluate(*expr.operands[0]));
    if (is_true(condition)) return evaluate(*expr.operands[1]);
    return expr.operands[2] ? evaluate(*expr.operands[2]) : Value();
}

Result<bool> Interpreter::compare_step(CompareOp op, const Value& left, const Value& right) {
    switch (op) {
        case CompareOp::kEqual:
            return are_equal(context_, left, right);
        case CompareOp::kIn:
            return contains(context_, right, left);
        case CompareOp::kUnequal: {
            BITNETD_ASSIGN(const bool equal, are_equal(context_, left, right));
            return !equal;
        }
        case CompareOp::kNotIn: {
            BITNETD_ASSIGN(const bool inside, contains(context_, right, left));
            return !inside;
        }
        default:
            break;
    }
    BITNETD_ASSIGN(const int order, compare(context_, left, right));
    switch (op) {
        case CompareOp::kLess:
            return order < 0;
        case CompareOp::kLessEqual:
            return order <= 0;
        case CompareOp::kGreater:
            return order > 0;
        default:
            return order >= 0;
    }
}

// a < b < c is a < b and b < c, with b evaluated once.
Result<Value> Interpreter::evaluate_compare(const Expr& expr) {
    BITNETD_ASSIGN(Value left, evaluate(*expr.operands[0]));
    for (size_t i = 0; i < expr.ops.size(); ++i) {
        BITNETD_ASSIGN(Value right, evaluate(*expr.operands[i + 1]));
        BITNETD_ASSIGN(const bool holds, compare_step(expr.ops[i], left, right));
        if (!holds) return Value(false);
        left = std::move(right);
    }
    return Value(true);
}

Result<Value> Interpreter::evaluate_concat(const Expr& expr) {
    MarkedText out;
    for (const ExprPtr& operand : expr.operands) {
        BITNETD_ASSIGN(const Value value, evaluate(*operand));
        BITNETD_ASSIGN(const MarkedText text, to_text(context_, value));
        out.append(text);
    }
    return Value(std::move(out));
}

}  // namespace bitnetd::text::jinja
