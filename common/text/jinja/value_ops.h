// Operations on values with Python's meaning: truth, equality, order, membership, text, attributes.
// Whatever can be large is charged to the budget.
#pragma once

#include <string_view>

#include "common/text/jinja/budget.h"
#include "common/text/jinja/value.h"

namespace bitnetd::text::jinja {

bool is_true(const Value& value);
Result<bool> are_equal(Context& context, const Value& a, const Value& b);
// Below, equal or above: negative, 0, positive. Numbers with numbers, strings with strings.
Result<int> compare(Context& context, const Value& a, const Value& b);
// `item in container`.
Result<bool> contains(Context& context, const Value& container, const Value& item);

// str(value): what {{ value }} prints. Strings inside lists and dicts are quoted as Python does.
Result<MarkedText> to_text(Context& context, const Value& value);
// repr() of a float: the shortest digits that give the same number.
std::string float_text(double number);

// The items that a for walks: list items, dict keys, characters; none for undefined.
Result<std::shared_ptr<const List>> iterate(Context& context, const Value& value);

// value.name and value[key]; undefined when there is none.
Result<Value> attribute(Context& context, const Value& value, std::string_view name);
Result<Value> subscript(Context& context, const Value& value, const Value& key);
// value[start:stop:step]; absent parts are undefined or none.
Result<Value> slice(Context& context, const Value& value, const Value& start, const Value& stop,
                    const Value& step);

// a + b and so on; `op` is '+', '-', '*', '/', '%' or 'i' for //.
Result<Value> arithmetic(Context& context, char op, const Value& a, const Value& b);
Result<Value> negate(const Value& value);

}  // namespace bitnetd::text::jinja
