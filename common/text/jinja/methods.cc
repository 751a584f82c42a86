#include "common/text/jinja/methods.h"

#include <algorithm>
#include <limits>

#include "common/text/jinja/strings.h"
#include "common/text/jinja/value_ops.h"

namespace bitnetd::text::jinja {

namespace {

using MethodCall = Result<Value> (*)(Context&, const Value&, const Arguments&);

struct MethodRow {
    Kind kind;
    std::string_view name;
    MethodCall call;  // null: exists in Python, refused here
};

Result<std::string_view> string_of(const Value& value, std::string_view what) {
    if (!value.is(Kind::kString)) return invalid("needs a string as " + std::string(what));
    return std::string_view(value.str());
}

// A count argument: absent or negative is "all".
size_t count_of(const Value& value) {
    if (!value.is(Kind::kInt) || value.integer() < 0) return std::numeric_limits<size_t>::max();
    return static_cast<size_t>(value.integer());
}

Result<Value> strip_sides(Context& context, const Value& self, const Arguments& arguments,
                          StripSides sides) {
    BITNETD_ASSIGN(const auto args, arguments.take({"chars"}));
    if (args[0].is(Kind::kUndefined) || args[0].is(Kind::kNone)) {
        return Value(strip(self.text(), nullptr, sides));
    }
    BITNETD_ASSIGN(const std::string_view chars, string_of(args[0], "characters"));
    BITNETD_TRY(context.budget.spend(self.text().size() / 64 * chars.size()));
    return Value(strip(self.text(), &chars, sides));
}
Result<Value> do_strip(Context& context, const Value& self, const Arguments& arguments) {
    return strip_sides(context, self, arguments, {true, true});
}
Result<Value> do_lstrip(Context& context, const Value& self, const Arguments& arguments) {
    return strip_sides(context, self, arguments, {true, false});
}
Result<Value> do_rstrip(Context& context, const Value& self, const Arguments& arguments) {
    return strip_sides(context, self, arguments, {false, true});
}

// Against one string or any of a list of them.
Result<Value> matches_end(Context& context, const Value& self, const Arguments& arguments,
                          bool at_start) {
    BITNETD_ASSIGN(const auto args, arguments.take({"text"}));
    const auto matches = [&](const Value& v) {
        return at_start ? self.str().starts_with(v.str()) : self.str().ends_with(v.str());
    };
    const List one{args[0]};
    for (const Value& v : args[0].is(Kind::kList) ? args[0].items() : one) {
        BITNETD_ASSIGN(const std::string_view wanted, string_of(v, "what to look for"));
        BITNETD_TRY(context.budget.spend(1 + wanted.size() / 64));
        if (matches(v)) return Value(true);
    }
    return Value(false);
}
Result<Value> do_startswith(Context& context, const Value& self, const Arguments& arguments) {
    return matches_end(context, self, arguments, true);
}
Result<Value> do_endswith(Context& context, const Value& self, const Arguments& arguments) {
    return matches_end(context, self, arguments, false);
}

size_t count_matches(const std::string& text, std::string_view wanted) {
    size_t count = 0;
    for (size_t at = find_text(text, wanted, 0); at != std::string::npos;
         at = find_text(text, wanted, at + wanted.size())) {
        ++count;
    }
    return count;
}

Result<Value> list_of_texts(std::vector<MarkedText> parts) {
    List items;
    items.reserve(parts.size());
    for (MarkedText& part : parts)
        items.emplace_back(std::move(part));
    return Value::list(std::move(items));
}

Result<Value> do_split(Context& context, const Value& self, const Arguments& arguments) {
    BITNETD_ASSIGN(const auto args, arguments.take({"sep", "maxsplit"}));
    const size_t splits = count_of(args[1]);
    const MarkedText& text = self.text();
    BITNETD_TRY(context.budget.spend_text(text.size()));
    if (args[0].is(Kind::kUndefined) || args[0].is(Kind::kNone)) {
        BITNETD_TRY(context.budget.spend(kItemCost * (1 + std::min(text.size() / 2, splits))));
        return list_of_texts(split_words(text, splits));
    }
    BITNETD_ASSIGN(const std::string_view separator, string_of(args[0], "separator"));
    if (separator.empty()) return invalid("the separator is empty");
    const size_t parts = 1 + std::min(count_matches(text.str(), separator), splits);
    BITNETD_TRY(context.budget.spend(kItemCost * parts));
    return list_of_texts(split(text, separator, splits));
}

Result<Value> do_splitlines(Context& context, const Value& self, const Arguments& arguments) {
    BITNETD_TRY(arguments.take({}));
    const MarkedText& text = self.text();
    BITNETD_TRY(context.budget.spend_text(text.size()));
    BITNETD_TRY(context.budget.spend(kItemCost * (1 + count_matches(text.str(), "\n"))));
    auto lines = split(text, "\n", std::numeric_limits<size_t>::max());
    if (lines.back().empty()) lines.pop_back();
    for (MarkedText& line : lines) {
        if (line.str().ends_with('\r')) line = line.slice(0, line.size() - 1);
    }
    return list_of_texts(std::move(lines));
}

Result<Value> do_replace(Context& context, const Value& self, const Arguments& arguments) {
    BITNETD_ASSIGN(const auto args, arguments.take({"old", "new", "count"}));
    BITNETD_ASSIGN(const std::string_view from, string_of(args[0], "what to replace"));
    BITNETD_TRY(string_of(args[1], "replacement"));
    if (from.empty()) return invalid("cannot replace the empty string");
    const size_t count = std::min(count_matches(self.str(), from), count_of(args[2]));
    BITNETD_TRY(context.budget.spend_text(self.text().size() + count * args[1].text().size()));
    return Value(replace(self.text(), from, args[1].text(), count));
}

template <Case to>
Result<Value> do_case(Context& context, const Value& self, const Arguments& arguments) {
    BITNETD_TRY(arguments.take({}));
    BITNETD_TRY(context.budget.spend_text(self.text().size()));
    return Value(change_case(self.text(), to));
}

Result<Value> do_find(Context&, const Value& self, const Arguments& arguments) {
    BITNETD_ASSIGN(const auto args, arguments.take({"sub"}));
    BITNETD_ASSIGN(const std::string_view wanted, string_of(args[0], "what to look for"));
    const size_t at = find_text(self.str(), wanted, 0);
    if (at == std::string::npos) return Value(int64_t{-1});
    const std::string_view before = std::string_view(self.str()).substr(0, at);
    return Value(static_cast<int64_t>(count_characters(before)));
}

Result<Value> do_count(Context&, const Value& self, const Arguments& arguments) {
    BITNETD_ASSIGN(const auto args, arguments.take({"sub"}));
    BITNETD_ASSIGN(const std::string_view wanted, string_of(args[0], "what to count"));
    if (wanted.empty()) return invalid("cannot count the empty string");
    return Value(static_cast<int64_t>(count_matches(self.str(), wanted)));
}

Result<Value> do_removeprefix(Context&, const Value& self, const Arguments& arguments) {
    BITNETD_ASSIGN(const auto args, arguments.take({"prefix"}));
    BITNETD_ASSIGN(const std::string_view prefix, string_of(args[0], "prefix"));
    if (!self.str().starts_with(prefix)) return self;
    return Value(self.text().slice(prefix.size(), self.text().size()));
}

Result<Value> do_removesuffix(Context&, const Value& self, const Arguments& arguments) {
    BITNETD_ASSIGN(const auto args, arguments.take({"suffix"}));
    BITNETD_ASSIGN(const std::string_view suffix, string_of(args[0], "suffix"));
    if (!self.str().ends_with(suffix)) return self;
    return Value(self.text().slice(0, self.text().size() - suffix.size()));
}

Result<Value> do_join(Context& context, const Value& self, const Arguments& arguments) {
    BITNETD_ASSIGN(const auto args, arguments.take({"items"}));
    BITNETD_ASSIGN(const auto items, iterate(context, args[0]));
    MarkedText out;
    for (size_t i = 0; i < items->size(); ++i) {
        BITNETD_TRY(string_of((*items)[i], "item to join"));
        const MarkedText& item = (*items)[i].text();
        BITNETD_TRY(context.budget.spend_text(item.size() + self.text().size()));
        if (i > 0) out.append(self.text());
        out.append(item);
    }
    return Value(std::move(out));
}

Result<Value> do_items(Context& context, const Value& self, const Arguments& arguments) {
    BITNETD_TRY(arguments.take({}));
    List pairs;
    for (const auto& [key, value] : self.dict().items) {
        BITNETD_TRY(context.budget.spend());
        BITNETD_ASSIGN(Value pair, Value::list({Value(key), value}));
        pairs.push_back(std::move(pair));
    }
    return Value::list(std::move(pairs));
}

Result<Value> do_keys(Context& context, const Value& self, const Arguments& arguments) {
    BITNETD_TRY(arguments.take({}));
    BITNETD_ASSIGN(const auto keys, iterate(context, self));
    return Value::list(*keys);
}

Result<Value> do_values(Context& context, const Value& self, const Arguments& arguments) {
    BITNETD_TRY(arguments.take({}));
    BITNETD_TRY(context.budget.spend(self.dict().items.size()));
    List values;
    for (const auto& item : self.dict().items)
        values.push_back(item.second);
    return Value::list(std::move(values));
}

Result<Value> do_get(Context& context, const Value& self, const Arguments& arguments) {
    BITNETD_ASSIGN(const auto args, arguments.take({"key", "default"}));
    BITNETD_TRY(context.budget.spend(1 + self.dict().items.size() / 8));
    const Value* item = args[0].is(Kind::kString) ? self.dict().find(args[0].str()) : nullptr;
    if (item != nullptr) return *item;
    return args[1].is(Kind::kUndefined) ? Value(None{}) : args[1];
}

Result<Value> do_cycle(Context&, const Value& self, const Arguments& arguments) {
    if (arguments.positional.empty()) return invalid("needs something to cycle through");
    return arguments.positional[self.loop().index0 % arguments.positional.size()];
}

constexpr MethodRow kMethods[] = {
    {Kind::kString, "strip", do_strip},
    {Kind::kString, "lstrip", do_lstrip},
    {Kind::kString, "rstrip", do_rstrip},
    {Kind::kString, "startswith", do_startswith},
    {Kind::kString, "endswith", do_endswith},
    {Kind::kString, "split", do_split},
    {Kind::kString, "splitlines", do_splitlines},
    {Kind::kString, "replace", do_replace},
    {Kind::kString, "upper", do_case<Case::kUpper>},
    {Kind::kString, "lower", do_case<Case::kLower>},
    {Kind::kString, "capitalize", do_case<Case::kCapitalize>},
    {Kind::kString, "title", do_case<Case::kTitle>},
    {Kind::kString, "find", do_find},
    {Kind::kString, "count", do_count},
    {Kind::kString, "removeprefix", do_removeprefix},
    {Kind::kString, "removesuffix", do_removesuffix},
    {Kind::kString, "join", do_join},
    {Kind::kString, "format", nullptr},
    {Kind::kString, "index", nullptr},
    {Kind::kDict, "items", do_items},
    {Kind::kDict, "keys", do_keys},
    {Kind::kDict, "values", do_values},
    {Kind::kDict, "get", do_get},
    {Kind::kDict, "pop", nullptr},
    {Kind::kDict, "popitem", nullptr},
    {Kind::kDict, "update", nullptr},
    {Kind::kDict, "copy", nullptr},
    {Kind::kDict, "clear", nullptr},
    {Kind::kDict, "setdefault", nullptr},
    {Kind::kDict, "fromkeys", nullptr},
    {Kind::kList, "append", nullptr},
    {Kind::kList, "index", nullptr},
    {Kind::kList, "count", nullptr},
    {Kind::kLoop, "cycle", do_cycle},
};

}  // namespace

bool is_known_method(std::string_view name) {
    return std::any_of(std::begin(kMethods), std::end(kMethods), [&](const MethodRow& row) {
        return row.call != nullptr && row.name == name;
    });
}

bool is_method(Kind kind, std::string_view name) {
    return std::any_of(std::begin(kMethods), std::end(kMethods),
                       [&](const MethodRow& row) { return row.kind == kind && row.name == name; });
}

Result<Value> call_method(Context& context, const Value& self, std::string_view name,
                          const Arguments& arguments) {
    BITNETD_TRY(context.budget.spend());
    // Most methods read their text once.
    if (self.is(Kind::kString)) BITNETD_TRY(context.budget.spend(self.text().size() / 64));
    for (const MethodRow& row : kMethods) {
        if (row.kind != self.kind() || row.name != name || row.call == nullptr) continue;
        Result<Value> result = row.call(context, self, arguments);
        if (!result) return std::move(result).error().within("." + std::string(name) + "()");
        return result;
    }
    return invalid("a " + std::string(to_string(self.kind())) + " has no method ." +
                   std::string(name) + "()");
}

Value loop_attribute(const Loop& loop, std::string_view name) {
    const List& items = *loop.items;
    const auto index = static_cast<int64_t>(loop.index0);
    const auto count = static_cast<int64_t>(items.size());
    if (name == "index") return Value(index + 1);
    if (name == "index0") return Value(index);
    if (name == "revindex") return Value(count - index);
    if (name == "revindex0") return Value(count - index - 1);
    if (name == "first") return Value(index == 0);
    if (name == "last") return Value(index + 1 == count);
    if (name == "length") return Value(count);
    if (name == "previtem" && index > 0) return items[loop.index0 - 1];
    if (name == "nextitem" && index + 1 < count) return items[loop.index0 + 1];
    return is_method(Kind::kLoop, name) ? Value(Method{}) : Value();
}

}  // namespace bitnetd::text::jinja
