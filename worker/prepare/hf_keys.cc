#include "worker/prepare/hf_keys.h"

#include <utility>

#include "common/base/check.h"

namespace bitnetd::worker {
namespace {

using gguf::ValueType;

void put(gguf::Metadata& out, std::string key, gguf::Value value) {
    const bool is_new = out.insert(std::move(key), std::move(value));
    BITNETD_CHECK(is_new);
}

template <typename T>
void put_scalars(gguf::Metadata& out, std::string key, ValueType element,
                 std::span<const T> values) {
    const auto bytes = std::as_bytes(values);
    gguf::Array array;
    array.element = element;
    array.count = values.size();
    array.scalars.assign(bytes.begin(), bytes.end());
    put(out, std::move(key), {ValueType::kArray, std::move(array)});
}

}  // namespace

void put_u32(gguf::Metadata& out, std::string key, uint32_t value) {
    put(out, std::move(key), {ValueType::kU32, uint64_t{value}});
}
void put_f32(gguf::Metadata& out, std::string key, double value) {
    const auto rounded = static_cast<double>(static_cast<float>(value));
    put(out, std::move(key), {ValueType::kF32, rounded});
}
void put_bool(gguf::Metadata& out, std::string key, bool value) {
    put(out, std::move(key), {ValueType::kBool, value});
}
void put_text(gguf::Metadata& out, std::string key, std::string value) {
    put(out, std::move(key), {ValueType::kString, std::move(value)});
}
void put_texts(gguf::Metadata& out, std::string key, std::vector<std::string> values) {
    gguf::Array array;
    array.element = ValueType::kString;
    array.count = values.size();
    array.strings = std::move(values);
    put(out, std::move(key), {ValueType::kArray, std::move(array)});
}
void put_i32s(gguf::Metadata& out, std::string key, std::span<const int32_t> values) {
    put_scalars(out, std::move(key), ValueType::kI32, values);
}
void put_f32s(gguf::Metadata& out, std::string key, std::span<const float> values) {
    put_scalars(out, std::move(key), ValueType::kF32, values);
}

}  // namespace bitnetd::worker
