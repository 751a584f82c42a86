// Runs a parsed template. One Interpreter per render; it cannot reach anything but the variables it
// is given. Every step is charged to the budget. Any thread, one at a time.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/text/jinja/ast.h"
#include "common/text/jinja/budget.h"

namespace bitnetd::text::jinja {

inline constexpr uint32_t kMacroDepthMax = 48;
// Of statements and expressions within each other, over all macros: what the parser allows in one
// of them, times the macros, would not fit on a stack. A level takes less than 1 KiB, with
// sanitizers less than 5.
inline constexpr uint32_t kRunDepthMax = 1000;

using Variables = std::vector<std::pair<std::string, Value>>;

class Interpreter {
  public:
    Interpreter(Context& context, Variables variables, size_t output_bytes_max)
        : context_(context),
          variables_(std::move(variables)),
          output_bytes_max_(output_bytes_max) {}

    Result<MarkedText> run(const Body& body);

  private:
    enum class Flow : uint8_t { kNormal, kBreak, kContinue };
    // One level deeper for as long as it lives.
    struct Deeper {
        explicit Deeper(uint32_t& depth) : depth_(depth) { ++depth_; }
        ~Deeper() { --depth_; }
        Deeper(const Deeper&) = delete;
        Deeper& operator=(const Deeper&) = delete;
        uint32_t& depth_;
    };
    using Frame = std::vector<std::pair<std::string_view, Value>>;

    // statements: interpreter.cc
    Result<Flow> execute(const Body& body);
    Result<Flow> execute(const Statement& statement);
    Result<Flow> execute_if(const Statement& statement);
    Result<Flow> execute_for(const Statement& statement);
    Result<Flow> execute_loop(const Statement& statement, std::shared_ptr<const List> items);
    Result<std::shared_ptr<const List>> loop_items(const Statement& statement);
    Result<void> execute_set(const Statement& statement);
    Result<void> assign(const std::vector<std::string>& targets, const Value& value);
    Result<void> print(const MarkedText& text);
    // What `body` prints, as a text of its own.
    Result<MarkedText> capture(const Body& body);
    Result<Value> call_macro(const Statement& macro, const Arguments& arguments);
    Result<void> bind_parameters(const Statement& macro, const Arguments& arguments);

    void set_variable(std::string_view name, Value value);
    Value variable(std::string_view name) const;

    // expressions: evaluate.cc
    Result<Value> evaluate(const Expr& expr);
    Result<Value> evaluate_inner(const Expr& expr);
    Result<Value> evaluate_list(const Expr& expr);
    Result<Value> evaluate_dict(const Expr& expr);
    Result<Value> evaluate_slice(const Expr& expr);
    Result<Value> evaluate_call(const Expr& expr);
    Result<Value> evaluate_logic(const Expr& expr);
    Result<Value> evaluate_conditional(const Expr& expr);
    Result<Value> evaluate_compare(const Expr& expr);
    Result<Value> evaluate_concat(const Expr& expr);
    Result<bool> compare_step(CompareOp op, const Value& left, const Value& right);
    Result<Arguments> evaluate_arguments(const std::vector<Argument>& arguments);

    Context& context_;
    Variables variables_;        // what the caller gave
    std::vector<Frame> frames_;  // [0] top level, then loops and macros
    size_t macro_base_ = 0;      // frames from here on belong to the running macro
    uint32_t macro_depth_ = 0;
    uint32_t depth_ = 0;  // at most kRunDepthMax
    MarkedText* output_ = nullptr;
    size_t output_bytes_max_;
};

}  // namespace bitnetd::text::jinja
