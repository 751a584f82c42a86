// Filters that give a text or a number: trim, tojson, replace, indent, default, ...
#include <algorithm>
#include <charconv>
#include <limits>

#include "common/text/jinja/filters.h"
#include "common/text/jinja/json_text.h"
#include "common/text/jinja/methods.h"
#include "common/text/jinja/strings.h"
#include "common/text/jinja/value_ops.h"

namespace bitnetd::text::jinja {

namespace {

// str(subject).method(...): most text filters are the method of a similar name.
Result<Value> method_of_text(Context& context, const Value& subject, std::string_view method,
                             const Arguments& arguments) {
    BITNETD_ASSIGN(MarkedText text, to_text(context, subject));
    return call_method(context, Value(std::move(text)), method, arguments);
}

Result<Value> do_trim(Context& context, const Value& v, const Arguments& arguments) {
    return method_of_text(context, v, "strip", arguments);
}
Result<Value> do_upper(Context& context, const Value& v, const Arguments& arguments) {
    return method_of_text(context, v, "upper", arguments);
}
Result<Value> do_lower(Context& context, const Value& v, const Arguments& arguments) {
    return method_of_text(context, v, "lower", arguments);
}
Result<Value> do_title(Context& context, const Value& v, const Arguments& arguments) {
    return method_of_text(context, v, "title", arguments);
}
Result<Value> do_capitalize(Context& context, const Value& v, const Arguments& arguments) {
    return method_of_text(context, v, "capitalize", arguments);
}
Result<Value> do_replace(Context& context, const Value& v, const Arguments& arguments) {
    return method_of_text(context, v, "replace", arguments);
}

Result<Value> do_string(Context& context, const Value& v, const Arguments& arguments) {
    BITNETD_TRY(arguments.take({}));
    BITNETD_ASSIGN(MarkedText text, to_text(context, v));
    return Value(std::move(text));
}

Result<Value> do_default(Context&, const Value& v, const Arguments& arguments) {
    BITNETD_ASSIGN(const auto args, arguments.take({"default_value", "boolean"}));
    const bool missing = v.is(Kind::kUndefined) || (is_true(args[1]) && !is_true(v));
    if (!missing) return v;
    return args[0].is(Kind::kUndefined) ? literal("") : args[0];
}

// An option of tojson: `otherwise` when absent or none.
Result<int64_t> integer_option(const Value& v, int64_t otherwise, int64_t max) {
    if (v.is(Kind::kUndefined) || v.is(Kind::kNone)) return otherwise;
    if (!v.is(Kind::kInt) || v.integer() < 0 || v.integer() > max) {
        return invalid("needs an integer from 0 to " + std::to_string(max));
    }
    return v.integer();
}

Result<Value> do_tojson(Context& context, const Value& v, const Arguments& arguments) {
    constexpr int64_t kIndentMax = 64;
    BITNETD_ASSIGN(const auto args,
                   arguments.take({"indent", "ensure_ascii", "separators", "sort_keys"}));
    JsonStyle style;
    BITNETD_ASSIGN(const int64_t indent, integer_option(args[0], -1, kIndentMax));
    style.indent = static_cast<int>(indent);
    style.ensure_ascii = is_true(args[1]);
    style.sort_keys = is_true(args[3]);
    if (args[2].is(Kind::kList)) {
        const List& separators = args[2].items();
        if (separators.size() != 2 || !separators[0].is(Kind::kString) ||
            !separators[1].is(Kind::kString)) {
            return invalid("separators must be two strings");
        }
        style.item_separator = separators[0].str();
        style.key_separator = separators[1].str();
    }
    BITNETD_ASSIGN(MarkedText text, to_json(context, v, style));
    return Value(std::move(text));
}

Result<MarkedText> indentation(const Value& width) {
    constexpr int64_t kWidthMax = 256;
    if (width.is(Kind::kString)) return width.text();
    BITNETD_ASSIGN(const int64_t spaces, integer_option(width, 4, kWidthMax));
    return MarkedText(std::string(static_cast<size_t>(spaces), ' '), true);
}

// Every line but the first (with `first` that one too); empty lines only with `blank`.
Result<Value> do_indent(Context& context, const Value& v, const Arguments& arguments) {
    BITNETD_ASSIGN(const auto args, arguments.take({"width", "first", "blank"}));
    BITNETD_ASSIGN(const MarkedText space, indentation(args[0]));
    BITNETD_ASSIGN(const MarkedText text, to_text(context, v));
    const auto count = std::count(text.str().begin(), text.str().end(), '\n');
    const auto lines = static_cast<size_t>(count) + 1;
    BITNETD_TRY(context.budget.spend(lines));
    BITNETD_TRY(context.budget.spend_text(lines * space.size()));
    MarkedText out;
    bool is_first = true;
    for (const MarkedText& line : split(text, "\n", std::numeric_limits<size_t>::max())) {
        if (!is_first) out.append("\n", true);
        const bool wanted = is_first ? is_true(args[1]) : !line.empty() || is_true(args[2]);
        if (wanted) out.append(space);
        out.append(line);
        is_first = false;
    }
    return Value(std::move(out));
}

Result<Value> do_int(Context&, const Value& v, const Arguments& arguments) {
    BITNETD_ASSIGN(const auto args, arguments.take({"default"}));
    const Value otherwise = args[0].is(Kind::kUndefined) ? Value(int64_t{0}) : args[0];
    if (v.is(Kind::kInt)) return v;
    if (v.is(Kind::kBool)) return Value(int64_t{v.boolean()});
    if (v.is(Kind::kFloat)) {
        constexpr double kLimit = 9.2e18;
        if (!(v.number() > -kLimit && v.number() < kLimit)) return otherwise;
        return Value(static_cast<int64_t>(v.number()));
    }
    if (!v.is(Kind::kString)) return otherwise;
    const MarkedText trimmed = strip(v.text(), nullptr, {});
    int64_t number = 0;
    const char* end = trimmed.str().data() + trimmed.size();
    const auto parsed = std::from_chars(trimmed.str().data(), end, number);
    if (parsed.ec != std::errc() || parsed.ptr != end) return otherwise;
    return Value(number);
}

Result<Value> do_abs(Context&, const Value& v, const Arguments& arguments) {
    BITNETD_TRY(arguments.take({}));
    const bool negative =
        (v.is(Kind::kInt) && v.integer() < 0) || (v.is(Kind::kFloat) && v.number() < 0);
    if (negative) return negate(v);
    if (v.is(Kind::kInt) || v.is(Kind::kFloat)) return v;
    return invalid("needs a number");
}

// Nothing is escaped here, so marking something as safe changes nothing.
Result<Value> do_safe(Context& context, const Value& v, const Arguments& arguments) {
    return do_string(context, v, arguments);
}

constexpr FilterRow kFilters[] = {
    {"trim", do_trim},     {"upper", do_upper},     {"lower", do_lower},
    {"title", do_title},   {"replace", do_replace}, {"capitalize", do_capitalize},
    {"string", do_string}, {"safe", do_safe},       {"default", do_default},
    {"d", do_default},     {"tojson", do_tojson},   {"indent", do_indent},
    {"int", do_int},       {"abs", do_abs},
};

}  // namespace

std::span<const FilterRow> text_filters() {
    return kFilters;
}

}  // namespace bitnetd::text::jinja
