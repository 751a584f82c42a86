#include "worker/convert/gguf_keys.h"

#include <map>
#include <string_view>

namespace bitnetd::worker {
namespace {

using quant::Type;

constexpr std::string_view kFileType = "general.file_type";
constexpr std::string_view kQuantizationVersion = "general.quantization_version";
constexpr uint32_t kQuantizationVersionNow = 2;

// One file, aligned as is usual: how the old one was split and aligned is over.
bool tells_of_storage(std::string_view key) {
    return key == "general.alignment" || key.starts_with("split.");
}

}  // namespace

std::optional<uint32_t> file_type_of(Type type) {
    switch (type) {
        case Type::kF32:
            return 0;
        case Type::kF16:
            return 1;
        case Type::kQ8_0:
            return 7;
        case Type::kBF16:
            return 32;
        case Type::kTQ1_0:
            return 36;
        case Type::kTQ2_0:
            return 37;
        case Type::kI2_S:
            return 40;
        default:
            return std::nullopt;
    }
}

void write_keys(const gguf::Metadata& keys, std::optional<uint32_t> file_type,
                gguf::Writer& writer) {
    const auto u32 = [](uint64_t number) { return gguf::Value{gguf::ValueType::kU32, number}; };
    const gguf::Value type = u32(file_type.value_or(0));
    const gguf::Value version = u32(kQuantizationVersionNow);
    std::map<std::string_view, const gguf::Value*> all;
    for (const auto& [key, value] : keys.all()) {
        if (!tells_of_storage(key)) all.emplace(key, &value);
    }
    if (file_type) all[kFileType] = &type;
    all.emplace(kQuantizationVersion, &version);
    // Others expect general.architecture among the first.
    for (const bool general : {true, false}) {
        for (const auto& [key, value] : all) {
            if (key.starts_with("general.") == general) writer.add(key, *value);
        }
    }
}

}  // namespace bitnetd::worker
