#include "worker/inspect/keys_json.h"

#include <type_traits>

#include "common/base/bytes.h"

namespace bitnetd::worker {
namespace {

using Json = nlohmann::ordered_json;
using gguf::ValueType;

template <typename T>
Json scalars(const gguf::Array& array) {
    Json out = Json::array();
    for (uint64_t i = 0; i < array.count; ++i) {
        out.push_back(Json(load<T>(array.scalars.data() + i * sizeof(T))));
    }
    return out;
}

Json bools(const gguf::Array& array) {
    Json out = Json::array();
    for (const std::byte value : array.scalars)
        out.push_back(value != std::byte{0});
    return out;
}

Json elements(const gguf::Array& array) {
    switch (array.element) {
        case ValueType::kU8:
            return scalars<uint8_t>(array);
        case ValueType::kI8:
            return scalars<int8_t>(array);
        case ValueType::kU16:
            return scalars<uint16_t>(array);
        case ValueType::kI16:
            return scalars<int16_t>(array);
        case ValueType::kU32:
            return scalars<uint32_t>(array);
        case ValueType::kI32:
            return scalars<int32_t>(array);
        case ValueType::kF32:
            return scalars<float>(array);
        case ValueType::kU64:
            return scalars<uint64_t>(array);
        case ValueType::kI64:
            return scalars<int64_t>(array);
        case ValueType::kF64:
            return scalars<double>(array);
        case ValueType::kBool:
            return bools(array);
        case ValueType::kString:
            return Json(array.strings);
        case ValueType::kArray:
            break;  // the reader refuses arrays of arrays
    }
    return Json::array();
}

Json to_json(const gguf::Array& array, size_t elements_max) {
    if (array.count <= elements_max) return elements(array);
    return {{"array of", gguf::to_string(array.element)}, {"count", array.count}};
}

}  // namespace

Json to_json(const gguf::Value& value, size_t elements_max) {
    return std::visit(
        [elements_max](const auto& content) -> Json {
            if constexpr (std::is_same_v<std::decay_t<decltype(content)>, gguf::Array>) {
                return to_json(content, elements_max);
            } else {
                return Json(content);
            }
        },
        value.content);
}

std::string dump(const Json& json, int indent) {
    return json.dump(indent, ' ', true, Json::error_handler_t::replace);
}

}  // namespace bitnetd::worker
