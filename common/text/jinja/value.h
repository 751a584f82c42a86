// Values of the template language. Data (undefined, none, bool, int, float, string, list, dict) is
// immutable and shared; a namespace() is the one thing that changes. Containers hold data only and
// nest at most kDepthMax deep, so no cycle can form and recursion over a value is bounded.
// Tuples are lists. One render, one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "common/base/result.h"
#include "common/text/marked_text.h"

namespace bitnetd::text::jinja {

class Value;
struct Statement;

using List = std::vector<Value>;
using DictItem = std::pair<MarkedText, Value>;

// Keys are strings, in the order they came. Look-ups are linear: objects in prompts are small, and
// a look-up is charged to the budget by size.
struct Dict {
    std::vector<DictItem> items;
    const Value* find(std::string_view key) const;
};

struct Namespace {
    std::vector<std::pair<std::string, Value>> items;
};

// `loop` inside a for: the list that is walked, and where we are.
struct Loop {
    std::shared_ptr<const List> items;
    size_t index0 = 0;
};

// A method or function looked up but not called, such as `message.items`. Only its existence can be
// asked for.
struct Method {};
struct None {};

enum class Kind : uint8_t {
    kUndefined,
    kNone,
    kBool,
    kInt,
    kFloat,
    kString,
    kList,
    kDict,
    kNamespace,
    kLoop,
    kMacro,
    kMethod,
};
std::string_view to_string(Kind kind);

inline constexpr uint32_t kDepthMax = 100;

class Value {
  public:
    Value() = default;  // undefined
    Value(None) : content_(None{}) {}
    Value(bool flag) : content_(flag) {}
    Value(int64_t number) : content_(number) {}
    Value(double number) : content_(number) {}
    Value(MarkedText text) : content_(std::make_shared<const MarkedText>(std::move(text))) {}
    Value(std::shared_ptr<Namespace> space) : content_(std::move(space)) {}
    Value(std::shared_ptr<Loop> loop) : content_(std::move(loop)) {}
    Value(const Statement* macro) : content_(macro) {}
    Value(Method) : content_(Method{}) {}

    // Refused when an item is not data or the nesting is too deep.
    static Result<Value> list(List items);
    static Result<Value> dict(Dict dict);

    Kind kind() const { return static_cast<Kind>(content_.index()); }
    bool is(Kind kind) const { return this->kind() == kind; }
    bool is_data() const { return content_.index() <= static_cast<size_t>(Kind::kDict); }

    // Only for the kind they name.
    bool boolean() const { return std::get<bool>(content_); }
    int64_t integer() const { return std::get<int64_t>(content_); }
    double number() const { return std::get<double>(content_); }
    const MarkedText& text() const {
        return *std::get<std::shared_ptr<const MarkedText>>(content_);
    }
    const std::string& str() const { return text().str(); }
    const List& items() const { return *shared_items(); }
    const std::shared_ptr<const List>& shared_items() const {
        return std::get<std::shared_ptr<const List>>(content_);
    }
    const Dict& dict() const { return *std::get<std::shared_ptr<const Dict>>(content_); }
    Namespace& space() const { return *std::get<std::shared_ptr<Namespace>>(content_); }
    const Loop& loop() const { return *std::get<std::shared_ptr<Loop>>(content_); }
    const Statement* macro() const { return std::get<const Statement*>(content_); }

  private:
    // In the order of Kind.
    std::variant<std::monostate, None, bool, int64_t, double, std::shared_ptr<const MarkedText>,
                 std::shared_ptr<const List>, std::shared_ptr<const Dict>,
                 std::shared_ptr<Namespace>, std::shared_ptr<Loop>, const Statement*, Method>
        content_;
    uint32_t depth_ = 0;  // of containers below this one
};

// A string that the template wrote.
inline Value literal(std::string_view text) {
    return Value(MarkedText(text, true));
}

}  // namespace bitnetd::text::jinja
