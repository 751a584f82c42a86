#include "common/text/jinja/interpreter.h"

#include <algorithm>

#include "common/text/jinja/lexer.h"
#include "common/text/jinja/value_ops.h"

namespace bitnetd::text::jinja {

Result<MarkedText> Interpreter::run(const Body& body) {
    frames_.assign(1, Frame());
    return capture(body);
}

Result<MarkedText> Interpreter::capture(const Body& body) {
    MarkedText text;
    MarkedText* const outer = std::exchange(output_, &text);
    const auto flow = execute(body);
    output_ = outer;
    if (!flow) return flow.error();
    return text;
}

Result<void> Interpreter::print(const MarkedText& text) {
    if (text.size() > output_bytes_max_ - output_->size()) {
        return Error{ErrorCode::kExhausted, "prints too much text"};
    }
    BITNETD_TRY(context_.budget.spend_text(text.size()));
    output_->append(text);
    return {};
}

void Interpreter::set_variable(std::string_view name, Value value) {
    for (auto& [known, content] : frames_.back()) {
        if (known == name) {
            content = std::move(value);
            return;
        }
    }
    frames_.back().emplace_back(name, std::move(value));
}

// Inner loops first, then the top level, then what the caller gave, then our functions.
Value Interpreter::variable(std::string_view name) const {
    const auto find = [&](const auto& frame) -> const Value* {
        for (const auto& [known, value] : frame) {
            if (known == name) return &value;
        }
        return nullptr;
    };
    for (size_t i = frames_.size(); i-- > std::max<size_t>(macro_base_, 1);) {
        if (const Value* value = find(frames_[i])) return *value;
    }
    if (const Value* value = find(frames_[0])) return *value;
    if (const Value* value = find(variables_)) return *value;
    // Templates ask `strftime_now is defined`; there is nothing else to do with a function.
    return find_function(name) != nullptr ? Value(Method{}) : Value();
}

Result<Interpreter::Flow> Interpreter::execute(const Body& body) {
    for (const auto& statement : body) {
        BITNETD_TRY(context_.budget.spend());
        BITNETD_ASSIGN(const Flow flow, execute(*statement));
        if (flow != Flow::kNormal) return flow;
    }
    return Flow::kNormal;
}

Result<Interpreter::Flow> Interpreter::execute(const Statement& statement) {
    const Deeper level(depth_);
    if (depth_ > kRunDepthMax) return error_at(statement.line, "nested too deeply");
    switch (statement.kind) {
        case StatementKind::kText:
            BITNETD_TRY(print(MarkedText(statement.text, true)));
            break;
        case StatementKind::kPrint: {
            BITNETD_ASSIGN(const Value value, evaluate(*statement.value));
            const auto text = to_text(context_, value);
            if (!text) return error_at(statement.line, text.error().message);
            BITNETD_TRY(print(*text));
            break;
        }
        case StatementKind::kIf:
            return execute_if(statement);
        case StatementKind::kFor:
            return execute_for(statement);
        case StatementKind::kSet:
            BITNETD_TRY(execute_set(statement));
            break;
        case StatementKind::kSetBlock: {
            BITNETD_ASSIGN(MarkedText text, capture(statement.body));
            set_variable(statement.targets[0], Value(std::move(text)));
            break;
        }
        case StatementKind::kMacro:
            set_variable(statement.name, Value(&statement));
            break;
        case StatementKind::kDo:
            BITNETD_TRY(evaluate(*statement.value));
            break;
        case StatementKind::kBlock:
            return execute(statement.body);
        case StatementKind::kBreak:
            return Flow::kBreak;
        case StatementKind::kContinue:
            return Flow::kContinue;
    }
    return Flow::kNormal;
}

Result<Interpreter::Flow> Interpreter::execute_if(const Statement& statement) {
    for (const Branch& branch : statement.branches) {
        bool taken = branch.condition == nullptr;
        if (!taken) {
            BITNETD_ASSIGN(const Value condition, evaluate(*branch.condition));
            taken = is_true(condition);
        }
        if (taken) return execute(branch.body);
    }
    return Flow::kNormal;
}

// The items to walk; with `if` in the for tag, those that pass, so that `loop` counts only them.
Result<std::shared_ptr<const List>> Interpreter::loop_items(const Statement& statement) {
    BITNETD_ASSIGN(const Value value, evaluate(*statement.value));
    auto all = iterate(context_, value);
    if (!all) return error_at(statement.line, all.error().message);
    if (!statement.condition) return all;
    List kept;
    for (const Value& item : **all) {
        frames_.back().clear();
        BITNETD_TRY(assign(statement.targets, item));
        BITNETD_ASSIGN(const Value condition, evaluate(*statement.condition));
        if (is_true(condition)) kept.push_back(item);
    }
    return std::make_shared<const List>(std::move(kept));
}

Result<Interpreter::Flow> Interpreter::execute_for(const Statement& statement) {
    frames_.emplace_back();
    auto items = loop_items(statement);
    Result<Flow> flow = Flow::kNormal;
    if (items.ok() && !(*items)->empty()) flow = execute_loop(statement, *items);
    frames_.pop_back();
    if (!items) return std::move(items).error();
    if (!flow) return flow;
    if ((*items)->empty()) return execute(statement.otherwise);
    return Flow::kNormal;
}

// What a turn assigns is gone with the next one.
Result<Interpreter::Flow> Interpreter::execute_loop(const Statement& statement,
                                                    std::shared_ptr<const List> items) {
    const auto loop = std::make_shared<Loop>();
    loop->items = std::move(items);
    for (; loop->index0 < loop->items->size(); ++loop->index0) {
        BITNETD_TRY(context_.budget.spend());
        frames_.back().clear();
        set_variable("loop", Value(loop));
        if (const auto assigned = assign(statement.targets, (*loop->items)[loop->index0]);
            !assigned) {
            return error_at(statement.line, assigned.error().message);
        }
        BITNETD_ASSIGN(const Flow flow, execute(statement.body));
        if (flow == Flow::kBreak) break;
    }
    return Flow::kNormal;
}

// One name takes the value; several take its items.
Result<void> Interpreter::assign(const std::vector<std::string>& targets, const Value& value) {
    if (targets.size() == 1) {
        set_variable(targets[0], value);
        return {};
    }
    BITNETD_ASSIGN(const auto items, iterate(context_, value));
    if (items->size() != targets.size()) {
        return invalid("cannot unpack " + std::to_string(items->size()) + " values into " +
                       std::to_string(targets.size()) + " names");
    }
    for (size_t i = 0; i < targets.size(); ++i)
        set_variable(targets[i], (*items)[i]);
    return {};
}

Result<void> Interpreter::execute_set(const Statement& statement) {
    BITNETD_ASSIGN(const Value value, evaluate(*statement.value));
    if (statement.attribute.empty()) {
        const auto assigned = assign(statement.targets, value);
        if (!assigned) return error_at(statement.line, assigned.error().message);
        return {};
    }
    const Value target = variable(statement.targets[0]);
    if (!target.is(Kind::kNamespace)) {
        return error_at(statement.line, "'" + statement.targets[0] + "' is no namespace");
    }
    if (!value.is_data()) return error_at(statement.line, "this value cannot be stored");
    for (auto& [name, content] : target.space().items) {
        if (name == statement.attribute) {
            content = value;
            return {};
        }
    }
    target.space().items.emplace_back(statement.attribute, value);
    return {};
}

// Arguments by position or name, then defaults, then undefined.
Result<void> Interpreter::bind_parameters(const Statement& macro, const Arguments& arguments) {
    const size_t given = arguments.positional.size();
    if (given > macro.parameters.size()) return invalid("too many arguments");
    for (const auto& argument : arguments.named) {
        const auto place =
            std::find_if(macro.parameters.begin(), macro.parameters.end(),
                         [&](const Argument& p) { return p.name == argument.first; });
        if (place == macro.parameters.end()) {
            return invalid("no parameter '" + argument.first + "'");
        }
        if (place < macro.parameters.begin() + static_cast<ptrdiff_t>(given)) {
            return invalid("got '" + argument.first + "' twice");
        }
        set_variable(place->name, argument.second);
    }
    for (size_t i = 0; i < macro.parameters.size(); ++i) {
        const Argument& parameter = macro.parameters[i];
        const auto is_bound = [&](const auto& entry) { return entry.first == parameter.name; };
        if (i < given) {
            set_variable(parameter.name, arguments.positional[i]);
        } else if (std::none_of(frames_.back().begin(), frames_.back().end(), is_bound)) {
            Value value;
            if (parameter.value) {
                BITNETD_ASSIGN(value, evaluate(*parameter.value));
            }
            set_variable(parameter.name, std::move(value));
        }
    }
    return {};
}

Result<Value> Interpreter::call_macro(const Statement& macro, const Arguments& arguments) {
    if (macro_depth_ >= kMacroDepthMax) return invalid("macros call each other too deeply");
    ++macro_depth_;
    const size_t outer_base = std::exchange(macro_base_, frames_.size());
    frames_.emplace_back();
    Result<MarkedText> text = MarkedText();
    if (auto bound = bind_parameters(macro, arguments); bound.ok())
        text = capture(macro.body);
    else
        text = std::move(bound).error();
    frames_.resize(macro_base_);
    macro_base_ = outer_base;
    --macro_depth_;
    if (!text) return std::move(text).error();
    return Value(std::move(*text));
}

}  // namespace bitnetd::text::jinja
