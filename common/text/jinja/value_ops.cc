#include "common/text/jinja/value_ops.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "common/text/jinja/methods.h"
#include "common/text/jinja/strings.h"
#include "common/text/utf8.h"

namespace bitnetd::text::jinja {

namespace {

bool is_numeric(const Value& v) {
    return v.is(Kind::kBool) || v.is(Kind::kInt) || v.is(Kind::kFloat);
}

double as_double(const Value& v) {
    if (v.is(Kind::kBool)) return v.boolean() ? 1 : 0;
    return v.is(Kind::kInt) ? static_cast<double>(v.integer()) : v.number();
}

std::string name_of(const Value& v) {
    return std::string(to_string(v.kind()));
}

Result<bool> are_equal_lists(Context& context, const List& a, const List& b) {
    if (a.size() != b.size()) return false;
    for (size_t i = 0; i < a.size(); ++i) {
        BITNETD_ASSIGN(const bool same, are_equal(context, a[i], b[i]));
        if (!same) return false;
    }
    return true;
}

Result<bool> are_equal_dicts(Context& context, const Dict& a, const Dict& b) {
    if (a.items.size() != b.items.size()) return false;
    for (const auto& [key, value] : a.items) {
        BITNETD_TRY(context.budget.spend(1 + b.items.size() / 8));
        const Value* other = b.find(key.str());
        if (other == nullptr) return false;
        BITNETD_ASSIGN(const bool same, are_equal(context, value, *other));
        if (!same) return false;
    }
    return true;
}

// Python's repr() of a string. Escapes are the template's, the rest keeps its marks.
MarkedText quoted(const MarkedText& text) {
    const std::string& s = text.str();
    const bool has_single = s.find('\'') != std::string::npos;
    const char quote = has_single && s.find('"') == std::string::npos ? '"' : '\'';
    MarkedText out(std::string(1, quote), true);
    for (size_t at = 0; at < s.size();) {
        const CodePoint c = decode_utf8(s, at);
        const size_t bytes = std::max<size_t>(c.bytes, 1);
        if (s[at] == '\n')
            out.append("\\n", true);
        else if (s[at] == '\r')
            out.append("\\r", true);
        else if (s[at] == '\t')
            out.append("\\t", true);
        else if (s[at] == '\\' || s[at] == quote)
            out.append(std::string{'\\', s[at]}, true);
        else if (c.value < 0x20 || (c.value >= 0x7F && c.value <= 0xA0) || c.value == 0xAD) {
            out.append("\\x" + hex(c.value, 2), true);
        } else {
            out.append(text, at, at + bytes);
        }
        at += bytes;
    }
    out.append(std::string(1, quote), true);
    return out;
}

Result<void> append_repr(Context& context, const Value& value, MarkedText& out) {
    BITNETD_TRY(context.budget.spend());
    if (value.is(Kind::kString)) {
        BITNETD_TRY(context.budget.spend_text(value.text().size() * 2));
        out.append(quoted(value.text()));
    } else if (value.is(Kind::kList)) {
        out.append("[", true);
        for (size_t i = 0; i < value.items().size(); ++i) {
            if (i > 0) out.append(", ", true);
            BITNETD_TRY(append_repr(context, value.items()[i], out));
        }
        out.append("]", true);
    } else if (value.is(Kind::kDict)) {
        out.append("{", true);
        for (size_t i = 0; i < value.dict().items.size(); ++i) {
            const auto& [key, item] = value.dict().items[i];
            if (i > 0) out.append(", ", true);
            BITNETD_TRY(context.budget.spend_text(key.size() * 2));
            out.append(quoted(key));
            out.append(": ", true);
            BITNETD_TRY(append_repr(context, item, out));
        }
        out.append("}", true);
    } else {
        BITNETD_ASSIGN(const MarkedText text, to_text(context, value));
        out.append(text);
    }
    return {};
}

Result<Value> repeat(Context& context, const Value& what, const Value& times) {
    const int64_t count = std::max<int64_t>(times.integer(), 0);
    const size_t size = what.is(Kind::kString) ? what.text().size() : what.items().size();
    const auto total = static_cast<uint64_t>(count) * (size + 1);
    if (count > (1 << 24)) return invalid("repeats too often");
    BITNETD_TRY(context.budget.spend_text(total));
    if (what.is(Kind::kString)) {
        MarkedText out;
        for (int64_t i = 0; i < count; ++i)
            out.append(what.text());
        return Value(std::move(out));
    }
    BITNETD_TRY(context.budget.spend(total));
    List out;
    for (int64_t i = 0; i < count; ++i) {
        out.insert(out.end(), what.items().begin(), what.items().end());
    }
    return Value::list(std::move(out));
}

Result<Value> add_sequences(Context& context, const Value& a, const Value& b) {
    if (a.is(Kind::kString)) {
        BITNETD_TRY(context.budget.spend_text(a.text().size() + b.text().size()));
        MarkedText out = a.text();
        out.append(b.text());
        return Value(std::move(out));
    }
    BITNETD_TRY(context.budget.spend(a.items().size() + b.items().size()));
    List out = a.items();
    out.insert(out.end(), b.items().begin(), b.items().end());
    return Value::list(std::move(out));
}

int64_t as_integer(const Value& v) {
    return v.is(Kind::kBool) ? v.boolean() : v.integer();
}

Result<Value> integer_arithmetic(char op, int64_t a, int64_t b) {
    int64_t result = 0;
    bool overflow = false;
    switch (op) {
        case '+':
            overflow = __builtin_add_overflow(a, b, &result);
            break;
        case '-':
            overflow = __builtin_sub_overflow(a, b, &result);
            break;
        case '*':
            overflow = __builtin_mul_overflow(a, b, &result);
            break;
        default:
            if (b == 0) return invalid("division by zero");
            if (b == -1) {  // the one quotient that can overflow
                overflow = __builtin_sub_overflow(int64_t{0}, a, &result);
                if (op == '%') return Value(int64_t{0});
                break;
            }
            // Python rounds the quotient down; the remainder has the divisor's sign.
            result = a % b;
            if (result != 0 && (result < 0) != (b < 0)) result += b;
            if (op == 'i') result = (a - result) / b;
    }
    if (overflow) return invalid("integer overflow");
    return Value(result);
}

Result<Value> float_arithmetic(char op, double a, double b) {
    switch (op) {
        case '+':
            return Value(a + b);
        case '-':
            return Value(a - b);
        case '*':
            return Value(a * b);
        default:
            break;
    }
    if (b == 0) return invalid("division by zero");
    if (op == '/') return Value(a / b);
    if (op == 'i') return Value(std::floor(a / b));
    return Value(a - b * std::floor(a / b));
}

// Python's slice.indices(): bounds for a sequence of `length`, step not 0.
struct SliceRange {
    int64_t start;
    int64_t stop;
};
SliceRange slice_range(int64_t length, const Value& start, const Value& stop, int64_t step) {
    const int64_t low = step > 0 ? 0 : -1;
    const int64_t high = step > 0 ? length : length - 1;
    const auto bound = [&](const Value& v, int64_t otherwise) {
        if (!v.is(Kind::kInt)) return otherwise;
        const int64_t at = v.integer();
        return at < 0 ? std::max(at + length, low) : std::min(at, high);
    };
    return {bound(start, step > 0 ? low : high), bound(stop, step > 0 ? high : low)};
}

bool is_slice_part(const Value& v) {
    return v.is(Kind::kInt) || v.is(Kind::kUndefined) || v.is(Kind::kNone);
}

}  // namespace

bool is_true(const Value& value) {
    switch (value.kind()) {
        case Kind::kUndefined:
        case Kind::kNone:
            return false;
        case Kind::kBool:
            return value.boolean();
        case Kind::kInt:
            return value.integer() != 0;
        case Kind::kFloat:
            return value.number() != 0;
        case Kind::kString:
            return !value.text().empty();
        case Kind::kList:
            return !value.items().empty();
        case Kind::kDict:
            return !value.dict().items.empty();
        default:
            return true;
    }
}

Result<bool> are_equal(Context& context, const Value& a, const Value& b) {
    BITNETD_TRY(context.budget.spend());
    if (is_numeric(a) && is_numeric(b)) {
        if (a.is(Kind::kFloat) || b.is(Kind::kFloat)) return as_double(a) == as_double(b);
        return as_integer(a) == as_integer(b);
    }
    if (a.kind() != b.kind()) return false;
    switch (a.kind()) {
        case Kind::kUndefined:
        case Kind::kNone:
            return true;
        case Kind::kString:
            BITNETD_TRY(context.budget.spend(a.text().size() / 64));
            return a.str() == b.str();
        case Kind::kList:
            return are_equal_lists(context, a.items(), b.items());
        case Kind::kDict:
            return are_equal_dicts(context, a.dict(), b.dict());
        default:
            return false;
    }
}

Result<int> compare(Context& context, const Value& a, const Value& b) {
    BITNETD_TRY(context.budget.spend());
    if (is_numeric(a) && is_numeric(b)) {
        if (a.is(Kind::kFloat) || b.is(Kind::kFloat)) {
            const double x = as_double(a), y = as_double(b);
            return x < y ? -1 : x > y ? 1 : 0;
        }
        const int64_t x = as_integer(a), y = as_integer(b);
        return x < y ? -1 : x > y ? 1 : 0;
    }
    if (a.is(Kind::kString) && b.is(Kind::kString)) {
        BITNETD_TRY(context.budget.spend(a.text().size() / 64));
        return a.str().compare(b.str());  // byte order is code point order in UTF-8
    }
    return invalid("a " + name_of(a) + " and a " + name_of(b) + " have no order");
}

Result<bool> contains(Context& context, const Value& container, const Value& item) {
    BITNETD_TRY(context.budget.spend());
    switch (container.kind()) {
        case Kind::kUndefined:
            return false;
        case Kind::kString:
            if (!item.is(Kind::kString)) return invalid("'in' a string needs a string");
            BITNETD_TRY(context.budget.spend(container.text().size() / 64));
            return find_text(container.str(), item.str(), 0) != std::string::npos;
        case Kind::kList:
            for (const Value& other : container.items()) {
                BITNETD_ASSIGN(const bool same, are_equal(context, other, item));
                if (same) return true;
            }
            return false;
        case Kind::kDict:
            BITNETD_TRY(context.budget.spend(container.dict().items.size() / 8));
            return item.is(Kind::kString) && container.dict().find(item.str()) != nullptr;
        default:
            return invalid("'in' does not work on a " + name_of(container));
    }
}

std::string float_text(double number) {
    if (std::isnan(number)) return "nan";
    if (std::isinf(number)) return number < 0 ? "-inf" : "inf";
    char digits[400];
    const auto write = [&](std::chars_format format) {
        const auto end = std::to_chars(digits, digits + sizeof digits, number, format).ptr;
        return std::string(digits, end);
    };
    std::string text = write(std::chars_format::scientific);
    const int exponent = std::atoi(text.c_str() + text.find('e') + 1);
    if (exponent < -4 || exponent >= 16) return text;
    text = write(std::chars_format::fixed);
    return text.find('.') == std::string::npos ? text + ".0" : text;
}

Result<MarkedText> to_text(Context& context, const Value& value) {
    switch (value.kind()) {
        case Kind::kUndefined:
            return MarkedText();
        case Kind::kNone:
            return MarkedText("None", true);
        case Kind::kBool:
            return MarkedText(value.boolean() ? "True" : "False", true);
        case Kind::kInt:
            return MarkedText(std::to_string(value.integer()), true);
        case Kind::kFloat:
            return MarkedText(float_text(value.number()), true);
        case Kind::kString:
            BITNETD_TRY(context.budget.spend_text(value.text().size()));
            return value.text();
        case Kind::kList:
        case Kind::kDict: {
            MarkedText out;
            BITNETD_TRY(append_repr(context, value, out));
            return out;
        }
        default:
            return invalid("a " + name_of(value) + " cannot be printed");
    }
}

Result<std::shared_ptr<const List>> iterate(Context& context, const Value& value) {
    List items;
    switch (value.kind()) {
        case Kind::kList:
            BITNETD_TRY(context.budget.spend(value.items().size()));
            return value.shared_items();
        case Kind::kUndefined:
            break;
        case Kind::kDict:
            BITNETD_TRY(context.budget.spend(value.dict().items.size()));
            for (const auto& item : value.dict().items)
                items.emplace_back(item.first);
            break;
        case Kind::kString:
            BITNETD_TRY(context.budget.spend(kItemCost * count_characters(value.str())));
            for (size_t at = 0; at < value.text().size();) {
                const size_t end = next_character(value.str(), at);
                items.emplace_back(value.text().slice(at, end));
                at = end;
            }
            break;
        default:
            return invalid("a " + name_of(value) + " cannot be iterated");
    }
    return std::make_shared<const List>(std::move(items));
}

Result<Value> attribute(Context& context, const Value& value, std::string_view name) {
    BITNETD_TRY(context.budget.spend());
    switch (value.kind()) {
        case Kind::kUndefined:
            return invalid("attribute '" + std::string(name) + "' of an undefined value");
        case Kind::kDict: {
            // As in Python, a method hides an item of that name: `x.items` is never x['items'].
            if (is_method(Kind::kDict, name)) return Value(Method{});
            BITNETD_TRY(context.budget.spend(value.dict().items.size() / 8));
            const Value* item = value.dict().find(name);
            return item == nullptr ? Value() : *item;
        }
        case Kind::kNamespace:
            for (const auto& [key, item] : value.space().items) {
                if (key == name) return item;
            }
            return Value();
        case Kind::kLoop:
            return loop_attribute(value.loop(), name);
        default:
            return is_method(value.kind(), name) ? Value(Method{}) : Value();
    }
}

Result<Value> subscript(Context& context, const Value& value, const Value& key) {
    BITNETD_TRY(context.budget.spend());
    if (value.is(Kind::kUndefined)) return invalid("an item of an undefined value");
    if (key.is(Kind::kString)) {
        if (value.is(Kind::kDict)) {
            BITNETD_TRY(context.budget.spend(value.dict().items.size() / 8));
            if (const Value* item = value.dict().find(key.str())) return *item;
        }
        return attribute(context, value, key.str());
    }
    if (!key.is(Kind::kInt)) return Value();
    if (value.is(Kind::kList)) {
        const auto length = static_cast<int64_t>(value.items().size());
        const int64_t at = key.integer() < 0 ? key.integer() + length : key.integer();
        return at >= 0 && at < length ? value.items()[static_cast<size_t>(at)] : Value();
    }
    if (value.is(Kind::kString)) {
        BITNETD_TRY(context.budget.spend(value.text().size() / 8));
        const auto length = static_cast<int64_t>(count_characters(value.str()));
        const int64_t at = key.integer() < 0 ? key.integer() + length : key.integer();
        if (at < 0 || at >= length) return Value();
        const size_t begin = character_offset(value.str(), static_cast<size_t>(at));
        return Value(value.text().slice(begin, next_character(value.str(), begin)));
    }
    return Value();
}

Result<Value> slice(Context& context, const Value& value, const Value& start, const Value& stop,
                    const Value& step_value) {
    if (!is_slice_part(start) || !is_slice_part(stop) || !is_slice_part(step_value)) {
        return invalid("slice bounds must be integers");
    }
    const int64_t step = step_value.is(Kind::kInt) ? step_value.integer() : 1;
    if (step == 0) return invalid("slice step cannot be zero");
    if (value.is(Kind::kString) && step == 1) {
        BITNETD_TRY(context.budget.spend_text(value.text().size()));
        const std::string& s = value.str();
        const auto length = static_cast<int64_t>(count_characters(s));
        const SliceRange range = slice_range(length, start, stop, 1);
        const size_t begin = character_offset(s, static_cast<size_t>(range.start));
        const size_t end =
            character_offset(s, static_cast<size_t>(std::max(range.start, range.stop)));
        return Value(value.text().slice(begin, end));
    }
    if (!value.is(Kind::kString) && !value.is(Kind::kList)) {
        return invalid("a " + name_of(value) + " cannot be sliced");
    }
    BITNETD_ASSIGN(const auto items, iterate(context, value));
    const SliceRange range = slice_range(static_cast<int64_t>(items->size()), start, stop, step);
    List picked;
    MarkedText text;
    for (int64_t i = range.start; step > 0 ? i < range.stop : i > range.stop;) {
        const Value& item = (*items)[static_cast<size_t>(i)];
        if (value.is(Kind::kString))
            text.append(item.text());
        else
            picked.push_back(item);
        if (__builtin_add_overflow(i, step, &i)) break;
    }
    if (value.is(Kind::kString)) return Value(std::move(text));
    return Value::list(std::move(picked));
}

Result<Value> arithmetic(Context& context, char op, const Value& a, const Value& b) {
    BITNETD_TRY(context.budget.spend());
    if (is_numeric(a) && is_numeric(b)) {
        const bool is_float = op == '/' || a.is(Kind::kFloat) || b.is(Kind::kFloat);
        if (is_float) return float_arithmetic(op, as_double(a), as_double(b));
        return integer_arithmetic(op, as_integer(a), as_integer(b));
    }
    const auto is_sequence = [](const Value& v) {
        return v.is(Kind::kString) || v.is(Kind::kList);
    };
    if (op == '+' && is_sequence(a) && a.kind() == b.kind()) return add_sequences(context, a, b);
    if (op == '*' && is_sequence(a) && b.is(Kind::kInt)) return repeat(context, a, b);
    if (op == '*' && is_sequence(b) && a.is(Kind::kInt)) return repeat(context, b, a);
    return invalid("a " + name_of(a) + " and a " + name_of(b) + " do not go with '" +
                   (op == 'i' ? std::string("//") : std::string(1, op)) + "'");
}

Result<Value> negate(const Value& value) {
    if (value.is(Kind::kFloat)) return Value(-value.number());
    if (value.is(Kind::kInt) || value.is(Kind::kBool)) {
        return integer_arithmetic('-', 0, as_integer(value));
    }
    return invalid("a " + name_of(value) + " has no negative");
}

}  // namespace bitnetd::text::jinja
