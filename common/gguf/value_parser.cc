#include "common/gguf/value_parser.h"

#include <algorithm>
#include <string>
#include <utility>

#include "common/base/bytes.h"
#include "common/base/quote.h"
#include "common/gguf/gguf_reader.h"

namespace bitnetd::gguf {
namespace {

constexpr uint32_t kLastValueType = static_cast<uint32_t>(ValueType::kF64);

// Bytes of one scalar; for a string the least it can take, its length.
uint64_t element_bytes_min(ValueType type) {
    switch (type) {
        case ValueType::kU8:
        case ValueType::kI8:
        case ValueType::kBool:
            return 1;
        case ValueType::kU16:
        case ValueType::kI16:
            return 2;
        case ValueType::kU32:
        case ValueType::kI32:
        case ValueType::kF32:
            return 4;
        default:
            return 8;
    }
}

Result<ValueType> parse_type(Cursor& cursor) {
    BITNETD_ASSIGN(const uint32_t id, cursor.read<uint32_t>());
    if (id > kLastValueType) {
        return invalid("value type " + std::to_string(id) + " is unknown; expected 0 to " +
                       std::to_string(kLastValueType));
    }
    return static_cast<ValueType>(id);
}

template <typename Stored, typename Held>
Result<Value> parse_scalar(Cursor& cursor, ValueType type) {
    BITNETD_ASSIGN(const Stored stored, cursor.read<Stored>());
    return Value{type, static_cast<Held>(stored)};
}

Result<Array> parse_array(Cursor& cursor) {
    Array array;
    BITNETD_ASSIGN(array.element, parse_type(cursor));
    if (array.element == ValueType::kArray)
        return unsupported("arrays of arrays are not supported");
    BITNETD_ASSIGN(array.count, cursor.read<uint64_t>());
    const uint64_t each = element_bytes_min(array.element);
    const uint64_t count_max = std::min(kArrayElementsMax, cursor.remaining() / each);
    if (array.count > count_max) {
        return invalid("an array claims " + std::to_string(array.count) + " elements of " +
                       std::string(to_string(array.element)) + "; at most " +
                       std::to_string(count_max) + " are possible");
    }
    if (array.element == ValueType::kString) {
        array.strings.reserve(static_cast<size_t>(array.count));
        for (uint64_t i = 0; i < array.count; ++i) {
            BITNETD_ASSIGN(std::string text,
                           cursor.read_string("a string of an array", kStringBytesMax));
            array.strings.push_back(std::move(text));
        }
        return array;
    }
    array.scalars.resize(static_cast<size_t>(array.count * each));
    BITNETD_TRY(cursor.read(array.scalars));
    return array;
}

Result<Value> parse_value(Cursor& cursor) {
    BITNETD_ASSIGN(const ValueType type, parse_type(cursor));
    switch (type) {
        case ValueType::kU8:
            return parse_scalar<uint8_t, uint64_t>(cursor, type);
        case ValueType::kU16:
            return parse_scalar<uint16_t, uint64_t>(cursor, type);
        case ValueType::kU32:
            return parse_scalar<uint32_t, uint64_t>(cursor, type);
        case ValueType::kU64:
            return parse_scalar<uint64_t, uint64_t>(cursor, type);
        case ValueType::kI8:
            return parse_scalar<int8_t, int64_t>(cursor, type);
        case ValueType::kI16:
            return parse_scalar<int16_t, int64_t>(cursor, type);
        case ValueType::kI32:
            return parse_scalar<int32_t, int64_t>(cursor, type);
        case ValueType::kI64:
            return parse_scalar<int64_t, int64_t>(cursor, type);
        case ValueType::kF32:
            return parse_scalar<float, double>(cursor, type);
        case ValueType::kF64:
            return parse_scalar<double, double>(cursor, type);
        case ValueType::kBool: {
            // Any byte but zero is true, as other readers take it.
            BITNETD_ASSIGN(const uint8_t byte, cursor.read<uint8_t>());
            return Value{type, byte != 0};
        }
        case ValueType::kString: {
            BITNETD_ASSIGN(std::string text, cursor.read_string("its string", kStringBytesMax));
            return Value{type, std::move(text)};
        }
        case ValueType::kArray:
            break;
    }
    BITNETD_ASSIGN(Array array, parse_array(cursor));
    return Value{ValueType::kArray, std::move(array)};
}

}  // namespace

Result<Metadata> parse_metadata(Cursor& cursor, uint64_t count) {
    Metadata metadata;
    for (uint64_t i = 0; i < count; ++i) {
        const std::string nth = "key " + std::to_string(i);
        auto key = cursor.read_string("its name", kKeyBytesMax);
        if (!key) return std::move(key).error().within(nth);
        if (key->empty()) return invalid(nth + " has an empty name");
        auto value = parse_value(cursor);
        if (!value) return std::move(value).error().within("key " + quote(*key));
        if (!metadata.insert(*key, std::move(value).value())) {
            return invalid("key " + quote(*key) + " occurs twice");
        }
    }
    return metadata;
}

}  // namespace bitnetd::gguf
