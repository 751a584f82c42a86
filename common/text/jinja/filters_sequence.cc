// Filters over sequences: length, join, items, select, map, sort, ... and the table of all filters.
#include <algorithm>

#include "common/text/jinja/filters.h"
#include "common/text/jinja/methods.h"
#include "common/text/jinja/strings.h"
#include "common/text/jinja/value_ops.h"

namespace bitnetd::text::jinja {

namespace {

Result<Value> do_length(Context& context, const Value& v, const Arguments& arguments) {
    BITNETD_TRY(arguments.take({}));
    switch (v.kind()) {
        case Kind::kUndefined:
            return Value(int64_t{0});
        case Kind::kString:
            BITNETD_TRY(context.budget.spend(v.text().size() / 8));
            return Value(static_cast<int64_t>(count_characters(v.str())));
        case Kind::kList:
            return Value(static_cast<int64_t>(v.items().size()));
        case Kind::kDict:
            return Value(static_cast<int64_t>(v.dict().items.size()));
        default:
            return invalid("a " + std::string(to_string(v.kind())) + " has no length");
    }
}

// item.a.b for "a.b"; also by number for a list of lists.
Result<Value> path_of(Context& context, const Value& item, const Value& path) {
    if (!path.is(Kind::kString)) return subscript(context, item, path);
    Value at = item;
    std::string_view rest = path.str();
    while (true) {
        const size_t dot = std::min(rest.find('.'), rest.size());
        BITNETD_ASSIGN(at, subscript(context, at, literal(rest.substr(0, dot))));
        if (dot == rest.size()) return at;
        rest.remove_prefix(dot + 1);
    }
}

Result<Value> do_join(Context& context, const Value& v, const Arguments& arguments) {
    BITNETD_ASSIGN(const auto args, arguments.take({"d", "attribute"}));
    BITNETD_ASSIGN(const auto items, iterate(context, v));
    BITNETD_ASSIGN(const MarkedText separator, to_text(context, args[0]));
    MarkedText out;
    for (size_t i = 0; i < items->size(); ++i) {
        Value item = (*items)[i];
        if (!args[1].is(Kind::kUndefined)) {
            BITNETD_ASSIGN(item, path_of(context, item, args[1]));
        }
        BITNETD_ASSIGN(const MarkedText text, to_text(context, item));
        BITNETD_TRY(context.budget.spend_text(separator.size()));
        if (i > 0) out.append(separator);
        out.append(text);
    }
    return Value(std::move(out));
}

Result<Value> do_list(Context& context, const Value& v, const Arguments& arguments) {
    BITNETD_TRY(arguments.take({}));
    BITNETD_ASSIGN(const auto items, iterate(context, v));
    return Value::list(*items);
}

Result<Value> do_items(Context& context, const Value& v, const Arguments& arguments) {
    if (v.is(Kind::kUndefined)) return Value::list({});
    if (!v.is(Kind::kDict)) return invalid("needs a dict");
    return call_method(context, v, "items", arguments);
}

Result<Value> do_first(Context& context, const Value& v, const Arguments& arguments) {
    BITNETD_TRY(arguments.take({}));
    BITNETD_ASSIGN(const auto items, iterate(context, v));
    return items->empty() ? Value() : items->front();
}

Result<Value> do_last(Context& context, const Value& v, const Arguments& arguments) {
    BITNETD_TRY(arguments.take({}));
    BITNETD_ASSIGN(const auto items, iterate(context, v));
    return items->empty() ? Value() : items->back();
}

Result<Value> do_reverse(Context& context, const Value& v, const Arguments& arguments) {
    BITNETD_TRY(arguments.take({}));
    return slice(context, v, Value(), Value(), Value(int64_t{-1}));
}

// select, reject (on the item) and selectattr, rejectattr (on an attribute of it), with a test by
// name and its arguments; without a test, truth.
template <bool by_attribute, bool keep>
Result<Value> do_select(Context& context, const Value& v, const Arguments& arguments) {
    auto rest = arguments;
    Value path;
    if (by_attribute) {
        if (rest.positional.empty()) return invalid("needs an attribute");
        path = rest.positional.front();
        rest.positional.erase(rest.positional.begin());
    }
    Test test = nullptr;
    if (!rest.positional.empty()) {
        const Value& name = rest.positional.front();
        test = name.is(Kind::kString) ? find_test(name.str()) : nullptr;
        if (test == nullptr) return invalid("no such test");
        rest.positional.erase(rest.positional.begin());
    }
    BITNETD_ASSIGN(const auto items, iterate(context, v));
    List kept;
    for (const Value& item : *items) {
        Value subject = item;
        if (by_attribute) {
            BITNETD_ASSIGN(subject, path_of(context, item, path));
        }
        bool matches = is_true(subject);
        if (test != nullptr) {
            BITNETD_ASSIGN(matches, test(context, subject, rest));
        }
        if (matches == keep) kept.push_back(item);
    }
    return Value::list(std::move(kept));
}

// map(attribute='x', default=y) or map('filter', arguments...).
Result<Value> do_map(Context& context, const Value& v, const Arguments& arguments) {
    Filter filter = nullptr;
    auto rest = arguments;
    std::vector<Value> options{Value(), Value()};
    if (arguments.positional.empty()) {
        BITNETD_ASSIGN(options, arguments.take({"attribute", "default"}));
    } else {
        const Value& name = arguments.positional.front();
        filter = name.is(Kind::kString) ? find_filter(name.str()) : nullptr;
        if (filter == nullptr) return invalid("no such filter");
        rest.positional.erase(rest.positional.begin());
    }
    BITNETD_ASSIGN(const auto items, iterate(context, v));
    List mapped;
    for (const Value& item : *items) {
        Value result;
        if (filter != nullptr) {
            BITNETD_ASSIGN(result, filter(context, item, rest));
        } else {
            BITNETD_ASSIGN(result, path_of(context, item, options[0]));
            if (result.is(Kind::kUndefined)) result = options[1];
        }
        mapped.push_back(std::move(result));
    }
    return Value::list(std::move(mapped));
}

// Sorts `items` by `key(item)`. Strings compare without case unless `case_sensitive`.
template <typename Key>
Result<Value> sorted(Context& context, List items, Key key, bool reverse, bool case_sensitive) {
    std::vector<std::pair<Value, Value>> keyed;
    for (Value& item : items) {
        BITNETD_ASSIGN(Value k, key(item));
        if (k.is(Kind::kString) && !case_sensitive) k = Value(change_case(k.text(), Case::kLower));
        keyed.emplace_back(std::move(k), std::move(item));
    }
    Result<void> failure;
    std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
        const auto order = compare(context, a.first, b.first);
        if (order.ok()) return reverse ? *order > 0 : *order < 0;
        failure = order.error();
        return false;
    });
    BITNETD_TRY(failure);
    List out;
    for (auto& item : keyed)
        out.push_back(std::move(item.second));
    return Value::list(std::move(out));
}

Result<Value> do_sort(Context& context, const Value& v, const Arguments& arguments) {
    BITNETD_ASSIGN(const auto args, arguments.take({"reverse", "case_sensitive", "attribute"}));
    BITNETD_ASSIGN(const auto items, iterate(context, v));
    const auto key = [&](const Value& item) -> Result<Value> {
        return args[2].is(Kind::kUndefined) ? item : path_of(context, item, args[2]);
    };
    return sorted(context, *items, key, is_true(args[0]), is_true(args[1]));
}

Result<Value> do_dictsort(Context& context, const Value& v, const Arguments& arguments) {
    BITNETD_ASSIGN(const auto args, arguments.take({"case_sensitive", "by", "reverse"}));
    const bool by_value = args[1].is(Kind::kString) && args[1].str() == "value";
    BITNETD_ASSIGN(const Value pairs, do_items(context, v, {}));
    const auto key = [&](const Value& pair) -> Result<Value> { return pair.items()[by_value]; };
    return sorted(context, pairs.items(), key, is_true(args[2]), is_true(args[0]));
}

constexpr FilterRow kFilters[] = {
    {"length", do_length},
    {"count", do_length},
    {"join", do_join},
    {"list", do_list},
    {"items", do_items},
    {"first", do_first},
    {"last", do_last},
    {"reverse", do_reverse},
    {"select", do_select<false, true>},
    {"reject", do_select<false, false>},
    {"selectattr", do_select<true, true>},
    {"rejectattr", do_select<true, false>},
    {"map", do_map},
    {"sort", do_sort},
    {"dictsort", do_dictsort},
};

}  // namespace

std::span<const FilterRow> sequence_filters() {
    return kFilters;
}

Filter find_filter(std::string_view name) {
    for (const auto table : {text_filters(), sequence_filters()}) {
        for (const FilterRow& row : table) {
            if (row.name == name) return row.filter;
        }
    }
    return nullptr;
}

}  // namespace bitnetd::text::jinja
