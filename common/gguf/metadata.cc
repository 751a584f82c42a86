#include "common/gguf/metadata.h"

#include <array>
#include <utility>

#include "common/base/bytes.h"

namespace bitnetd::gguf {
namespace {

Error wrong_type(std::string_view key, std::string_view expected, const Value& found) {
    std::string what(to_string(found.type));
    if (const auto* array = std::get_if<Array>(&found.content)) {
        what += " of " + std::string(to_string(array->element));
    }
    return invalid("key " + std::string(key) + " must be " + std::string(expected) + ", found " +
                   what);
}

// Element `index` widened to 64 bits; a u64 above the signed range comes out negative.
int64_t integer_at(const Array& array, size_t index) {
    const std::byte* data = array.scalars.data();
    switch (array.element) {
        case ValueType::kU8:
            return load<uint8_t>(data + index);
        case ValueType::kI8:
            return load<int8_t>(data + index);
        case ValueType::kU16:
            return load<uint16_t>(data + 2 * index);
        case ValueType::kI16:
            return load<int16_t>(data + 2 * index);
        case ValueType::kU32:
            return load<uint32_t>(data + 4 * index);
        case ValueType::kI32:
            return load<int32_t>(data + 4 * index);
        default:
            return load<int64_t>(data + 8 * index);  // u64, i64
    }
}

bool is_integer(ValueType type) {
    switch (type) {
        case ValueType::kF32:
        case ValueType::kF64:
        case ValueType::kBool:
        case ValueType::kString:
        case ValueType::kArray:
            return false;
        default:
            return true;
    }
}

}  // namespace

std::string_view to_string(ValueType type) {
    static constexpr std::array<std::string_view, 13> kNames{
        "u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
        "bool", "string", "array", "u64", "i64", "f64"};
    const auto index = static_cast<size_t>(type);
    return index < kNames.size() ? kNames[index] : "unknown";
}

bool Metadata::insert(std::string key, Value value) {
    return values_.emplace(std::move(key), std::move(value)).second;
}

const Value* Metadata::find(std::string_view key) const {
    const auto at = values_.find(key);
    return at == values_.end() ? nullptr : &at->second;
}

Found<uint64_t> Metadata::integer(std::string_view key, uint64_t max) const {
    const Value* value = find(key);
    if (value == nullptr) return std::optional<uint64_t>();
    std::string shown;
    if (const auto* number = std::get_if<uint64_t>(&value->content)) {
        if (*number <= max) return std::optional(*number);
        shown = std::to_string(*number);
    } else if (const auto* signed_number = std::get_if<int64_t>(&value->content)) {
        if (*signed_number >= 0 && static_cast<uint64_t>(*signed_number) <= max) {
            return std::optional(static_cast<uint64_t>(*signed_number));
        }
        shown = std::to_string(*signed_number);
    } else {
        return wrong_type(key, "an integer", *value);
    }
    return invalid("key " + std::string(key) + " is " + shown + "; expected 0 to " +
                   std::to_string(max));
}

Found<double> Metadata::number(std::string_view key) const {
    const Value* value = find(key);
    if (value == nullptr) return std::optional<double>();
    if (const auto* number = std::get_if<double>(&value->content)) return std::optional(*number);
    return wrong_type(key, "f32 or f64", *value);
}

Found<bool> Metadata::boolean(std::string_view key) const {
    const Value* value = find(key);
    if (value == nullptr) return std::optional<bool>();
    if (const auto* flag = std::get_if<bool>(&value->content)) return std::optional(*flag);
    return wrong_type(key, "bool", *value);
}

Found<std::string_view> Metadata::text(std::string_view key) const {
    const Value* value = find(key);
    if (value == nullptr) return std::optional<std::string_view>();
    if (const auto* text = std::get_if<std::string>(&value->content)) {
        return std::optional(std::string_view(*text));
    }
    return wrong_type(key, "a string", *value);
}

Found<std::span<const std::string>> Metadata::texts(std::string_view key) const {
    const Value* value = find(key);
    if (value == nullptr) return std::optional<std::span<const std::string>>();
    const auto* array = std::get_if<Array>(&value->content);
    if (array == nullptr || array->element != ValueType::kString) {
        return wrong_type(key, "an array of strings", *value);
    }
    return std::optional(std::span<const std::string>(array->strings));
}

Found<std::vector<int64_t>> Metadata::integers(std::string_view key) const {
    const Value* value = find(key);
    if (value == nullptr) return std::optional<std::vector<int64_t>>();
    const auto* array = std::get_if<Array>(&value->content);
    if (array == nullptr || !is_integer(array->element)) {
        return wrong_type(key, "an array of integers", *value);
    }
    std::vector<int64_t> out(static_cast<size_t>(array->count));
    for (size_t i = 0; i < out.size(); ++i) {
        out[i] = integer_at(*array, i);
        if (array->element == ValueType::kU64 && out[i] < 0) {
            return invalid("key " + std::string(key) + " element " + std::to_string(i) +
                           " does not fit a signed 64-bit integer");
        }
    }
    return std::optional(std::move(out));
}

Found<std::vector<float>> Metadata::floats(std::string_view key) const {
    const Value* value = find(key);
    if (value == nullptr) return std::optional<std::vector<float>>();
    const auto* array = std::get_if<Array>(&value->content);
    if (array == nullptr || array->element != ValueType::kF32) {
        return wrong_type(key, "an array of f32", *value);
    }
    std::vector<float> out(static_cast<size_t>(array->count));
    for (size_t i = 0; i < out.size(); ++i)
        out[i] = load<float>(array->scalars.data() + 4 * i);
    return std::optional(std::move(out));
}

}  // namespace bitnetd::gguf
