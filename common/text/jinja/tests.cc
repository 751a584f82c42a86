// The tests of `x is ...`.
#include "common/text/jinja/builtins.h"
#include "common/text/jinja/value_ops.h"

namespace bitnetd::text::jinja {

namespace {

template <Kind kind>
Result<bool> has_kind(Context&, const Value& v, const Arguments& arguments) {
    BITNETD_TRY(arguments.take({}));
    return v.is(kind);
}
Result<bool> is_defined(Context&, const Value& v, const Arguments&) {
    return !v.is(Kind::kUndefined);
}
Result<bool> is_number(Context&, const Value& v, const Arguments&) {
    return v.is(Kind::kInt) || v.is(Kind::kFloat) || v.is(Kind::kBool);
}
// Python's notion: also undefined, which iterates over nothing.
Result<bool> is_iterable(Context&, const Value& v, const Arguments&) {
    return v.is(Kind::kList) || v.is(Kind::kDict) || v.is(Kind::kString) || v.is(Kind::kUndefined);
}
template <bool wanted>
Result<bool> is_bool(Context&, const Value& v, const Arguments&) {
    return v.is(Kind::kBool) && v.boolean() == wanted;
}
Result<bool> is_equal(Context& context, const Value& v, const Arguments& arguments) {
    BITNETD_ASSIGN(const auto args, arguments.take({"other"}));
    return are_equal(context, v, args[0]);
}
Result<bool> is_unequal(Context& context, const Value& v, const Arguments& arguments) {
    BITNETD_ASSIGN(const bool equal, is_equal(context, v, arguments));
    return !equal;
}
// `op`: '<' below, '>' above; `or_equal` accepts equality too.
template <char op, bool or_equal>
Result<bool> is_ordered(Context& context, const Value& v, const Arguments& arguments) {
    BITNETD_ASSIGN(const auto args, arguments.take({"other"}));
    BITNETD_ASSIGN(const int order, compare(context, v, args[0]));
    return order == 0 ? or_equal : (order < 0) == (op == '<');
}
Result<bool> is_in(Context& context, const Value& v, const Arguments& arguments) {
    BITNETD_ASSIGN(const auto args, arguments.take({"container"}));
    return contains(context, args[0], v);
}
Result<bool> divides(const Value& v, int64_t divisor) {
    if (!v.is(Kind::kInt)) return invalid("needs an integer");
    if (divisor == 0) return invalid("division by zero");
    return divisor == -1 || v.integer() % divisor == 0;
}
Result<bool> is_divisible(Context&, const Value& v, const Arguments& arguments) {
    BITNETD_ASSIGN(const auto args, arguments.take({"num"}));
    if (!args[0].is(Kind::kInt)) return invalid("needs an integer");
    return divides(v, args[0].integer());
}
Result<bool> is_even(Context&, const Value& v, const Arguments&) {
    return divides(v, 2);
}
Result<bool> is_odd(Context&, const Value& v, const Arguments&) {
    BITNETD_ASSIGN(const bool even, divides(v, 2));
    return !even;
}

struct Row {
    std::string_view name;
    Test test;
};
constexpr Row kTests[] = {
    {"defined", is_defined},
    {"undefined", has_kind<Kind::kUndefined>},
    {"none", has_kind<Kind::kNone>},
    {"string", has_kind<Kind::kString>},
    {"integer", has_kind<Kind::kInt>},
    {"float", has_kind<Kind::kFloat>},
    {"boolean", has_kind<Kind::kBool>},
    {"number", is_number},
    {"mapping", has_kind<Kind::kDict>},
    {"iterable", is_iterable},
    {"sequence", is_iterable},
    {"true", is_bool<true>},
    {"false", is_bool<false>},
    {"equalto", is_equal},
    {"eq", is_equal},
    {"==", is_equal},
    {"ne", is_unequal},
    {"!=", is_unequal},
    {"lt", is_ordered<'<', false>},
    {"<", is_ordered<'<', false>},
    {"le", is_ordered<'<', true>},
    {"<=", is_ordered<'<', true>},
    {"gt", is_ordered<'>', false>},
    {">", is_ordered<'>', false>},
    {"ge", is_ordered<'>', true>},
    {">=", is_ordered<'>', true>},
    {"in", is_in},
    {"divisibleby", is_divisible},
    {"even", is_even},
    {"odd", is_odd},
};

}  // namespace

Test find_test(std::string_view name) {
    for (const Row& row : kTests) {
        if (row.name == name) return row.test;
    }
    return nullptr;
}

}  // namespace bitnetd::text::jinja
