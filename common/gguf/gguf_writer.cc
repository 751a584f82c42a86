#include "common/gguf/gguf_writer.h"

#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/gguf/gguf_reader.h"
#include "common/quant/type_ids.h"

namespace bitnetd::gguf {
namespace {

constexpr uint64_t kDefaultAlignment = 32;

void put_bytes(std::vector<std::byte>& out, std::span<const std::byte> bytes) {
    out.insert(out.end(), bytes.begin(), bytes.end());
}

template <typename T>
void put(std::vector<std::byte>& out, T value) {
    put_bytes(out, std::as_bytes(std::span(&value, 1)));
}

void put_text(std::vector<std::byte>& out, std::string_view text) {
    put(out, uint64_t{text.size()});
    put_bytes(out, std::as_bytes(std::span(text)));
}

// A number in the width that `type` has in a file.
template <typename T>
void put_number(std::vector<std::byte>& out, ValueType type, T number) {
    switch (type) {
        case ValueType::kU8:
        case ValueType::kBool:
            return put(out, static_cast<uint8_t>(number));
        case ValueType::kI8:
            return put(out, static_cast<int8_t>(number));
        case ValueType::kU16:
            return put(out, static_cast<uint16_t>(number));
        case ValueType::kI16:
            return put(out, static_cast<int16_t>(number));
        case ValueType::kU32:
            return put(out, static_cast<uint32_t>(number));
        case ValueType::kI32:
            return put(out, static_cast<int32_t>(number));
        case ValueType::kU64:
            return put(out, static_cast<uint64_t>(number));
        case ValueType::kI64:
            return put(out, static_cast<int64_t>(number));
        case ValueType::kF32:
            return put(out, static_cast<float>(number));
        case ValueType::kF64:
            return put(out, static_cast<double>(number));
        case ValueType::kString:
        case ValueType::kArray:
            break;
    }
    BITNETD_CHECK(false);
}

void put_array(std::vector<std::byte>& out, const Array& array) {
    put(out, static_cast<uint32_t>(array.element));
    put(out, array.count);
    put_bytes(out, array.scalars);
    for (const std::string& text : array.strings)
        put_text(out, text);
}

}  // namespace

Writer::Writer(uint64_t alignment) : alignment_(alignment) {
    if (alignment != kDefaultAlignment)
        add_u32("general.alignment", static_cast<uint32_t>(alignment));
}

void Writer::add_key(std::string_view key, ValueType type) {
    put_text(keys_, key);
    put(keys_, static_cast<uint32_t>(type));
    ++key_count_;
}

void Writer::add_u32(std::string_view key, uint32_t value) {
    add_key(key, ValueType::kU32);
    put(keys_, value);
}

void Writer::add_u64(std::string_view key, uint64_t value) {
    add_key(key, ValueType::kU64);
    put(keys_, value);
}

void Writer::add_i32(std::string_view key, int32_t value) {
    add_key(key, ValueType::kI32);
    put(keys_, value);
}

void Writer::add_f32(std::string_view key, float value) {
    add_key(key, ValueType::kF32);
    put(keys_, value);
}

void Writer::add_f64(std::string_view key, double value) {
    add_key(key, ValueType::kF64);
    put(keys_, value);
}

void Writer::add_bool(std::string_view key, bool value) {
    add_key(key, ValueType::kBool);
    put(keys_, static_cast<uint8_t>(value));
}

void Writer::add_text(std::string_view key, std::string_view value) {
    add_key(key, ValueType::kString);
    put_text(keys_, value);
}

void Writer::add_texts(std::string_view key, std::span<const std::string> values) {
    add_key(key, ValueType::kArray);
    put(keys_, static_cast<uint32_t>(ValueType::kString));
    put(keys_, uint64_t{values.size()});
    for (const std::string& value : values)
        put_text(keys_, value);
}

void Writer::add_i32s(std::string_view key, std::span<const int32_t> values) {
    add_key(key, ValueType::kArray);
    put(keys_, static_cast<uint32_t>(ValueType::kI32));
    put(keys_, uint64_t{values.size()});
    put_bytes(keys_, std::as_bytes(values));
}

void Writer::add_f32s(std::string_view key, std::span<const float> values) {
    add_key(key, ValueType::kArray);
    put(keys_, static_cast<uint32_t>(ValueType::kF32));
    put(keys_, uint64_t{values.size()});
    put_bytes(keys_, std::as_bytes(values));
}

void Writer::add(std::string_view key, const Value& value) {
    add_key(key, value.type);
    if (const auto* text = std::get_if<std::string>(&value.content)) return put_text(keys_, *text);
    if (const auto* array = std::get_if<Array>(&value.content)) return put_array(keys_, *array);
    std::visit(
        [&](const auto& number) {
            if constexpr (std::is_arithmetic_v<std::decay_t<decltype(number)>>) {
                put_number(keys_, value.type, number);
            }
        },
        value.content);
}

void Writer::add_tensor(std::string_view name, std::span<const uint64_t> dims, quant::Type type) {
    BITNETD_CHECK(dims.size() <= kDimsMax);
    std::vector<uint64_t> shape(dims.begin(), dims.end());
    shape.resize(kDimsMax, 1);
    BITNETD_CHECK(quant::id_of(type).has_value());
    const auto matrix = quant::matrix_bytes(type, {shape[1], shape[0]});
    BITNETD_CHECK(matrix.ok());
    tensors_.push_back(
        {std::string(name), {dims.begin(), dims.end()}, type, *matrix * shape[2] * shape[3]});
}

uint64_t Writer::padded_bytes(uint64_t bytes) const {
    return round_up(bytes, alignment_);
}

std::vector<std::byte> Writer::head() const {
    std::vector<std::byte> out;
    put(out, uint32_t{0x46554747});  // "GGUF"
    put(out, uint32_t{3});
    put(out, uint64_t{tensors_.size()});
    put(out, key_count_);
    put_bytes(out, keys_);
    uint64_t offset = 0;
    for (const Tensor& tensor : tensors_) {
        put_text(out, tensor.name);
        put(out, static_cast<uint32_t>(tensor.dims.size()));
        for (const uint64_t dim : tensor.dims)
            put(out, dim);
        put(out, *quant::id_of(tensor.type));
        put(out, offset);
        offset += padded_bytes(tensor.bytes);
    }
    out.resize(static_cast<size_t>(padded_bytes(out.size())));
    return out;
}

std::vector<std::byte> Writer::file(std::span<const std::vector<std::byte>> data) const {
    BITNETD_CHECK(data.size() == tensors_.size());
    std::vector<std::byte> out = head();
    for (size_t i = 0; i < data.size(); ++i) {
        BITNETD_CHECK(data[i].size() == tensors_[i].bytes);
        put_bytes(out, data[i]);
        out.resize(static_cast<size_t>(padded_bytes(out.size())));
    }
    return out;
}

}  // namespace bitnetd::gguf
