// Global functions.
#include <algorithm>
#include <limits>

#include "common/text/jinja/builtins.h"

namespace bitnetd::text::jinja {

namespace {

constexpr int64_t kRangeMax = 100'000;

Result<Value> raise_exception(Context&, const Arguments& arguments) {
    BITNETD_ASSIGN(const auto args, arguments.take({"message"}));
    if (!args[0].is(Kind::kString)) return invalid("the template refused the conversation");
    return invalid(args[0].str());
}

Result<Value> strftime_now(Context& context, const Arguments& arguments) {
    BITNETD_ASSIGN(const auto args, arguments.take({"format"}));
    if (!args[0].is(Kind::kString)) return invalid("needs a format string");
    constexpr size_t kFormatBytesMax = 128;
    if (args[0].str().size() > kFormatBytesMax) return invalid("the format is too long");
    char out[4096];
    const size_t bytes = strftime(out, sizeof out, args[0].str().c_str(), &context.now);
    return literal(std::string_view(out, bytes));
}

Result<Value> make_namespace(Context&, const Arguments& arguments) {
    if (!arguments.positional.empty()) return invalid("takes named arguments only");
    auto space = std::make_shared<Namespace>();
    for (const auto& [name, value] : arguments.named) {
        if (!value.is_data()) return invalid("'" + name + "' cannot be stored");
        space->items.emplace_back(name, value);
    }
    return Value(std::move(space));
}

Result<Value> make_dict(Context&, const Arguments& arguments) {
    if (!arguments.positional.empty()) return invalid("takes named arguments only");
    Dict dict;
    for (const auto& [name, value] : arguments.named) {
        dict.items.emplace_back(MarkedText(name, true), value);
    }
    return Value::dict(std::move(dict));
}

Result<Value> range(Context& context, const Arguments& arguments) {
    BITNETD_ASSIGN(const auto args, arguments.take({"start", "stop", "step"}));
    const size_t given = arguments.positional.size();
    for (size_t i = 0; i < given; ++i) {
        const bool bounded = args[i].is(Kind::kInt) &&
                             args[i].integer() < std::numeric_limits<int32_t>::max() &&
                             args[i].integer() > std::numeric_limits<int32_t>::min();
        if (!bounded) return invalid("needs small integers");
    }
    if (given == 0) return invalid("needs an end");
    const int64_t start = given == 1 ? 0 : args[0].integer();
    const int64_t stop = given == 1 ? args[0].integer() : args[1].integer();
    const int64_t step = given == 3 ? args[2].integer() : 1;
    if (step == 0) return invalid("the step is zero");
    const int64_t gap = step > 0 ? step - 1 : step + 1;
    const int64_t count = std::max<int64_t>((stop - start + gap) / step, 0);
    if (count > kRangeMax) return invalid("more than 100000 numbers");
    BITNETD_TRY(context.budget.spend(static_cast<uint64_t>(count)));
    List items;
    for (int64_t i = 0; i < count; ++i)
        items.emplace_back(start + i * step);
    return Value::list(std::move(items));
}

struct Row {
    std::string_view name;
    Function function;
};
constexpr Row kFunctions[] = {
    {"raise_exception", raise_exception},
    {"strftime_now", strftime_now},
    {"namespace", make_namespace},
    {"dict", make_dict},
    {"range", range},
};

}  // namespace

Function find_function(std::string_view name) {
    for (const Row& row : kFunctions) {
        if (row.name == name) return row.function;
    }
    return nullptr;
}

}  // namespace bitnetd::text::jinja
