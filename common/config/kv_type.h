// How keys and values are stored: what the kv.type setting names, and the memory it takes. One
// truth for the supervisor, which sizes a worker's arena, and the worker, which lays pages out in
// it.
#pragma once

#include <cstdint>
#include <string_view>

#include "common/base/bytes.h"
#include "common/base/check.h"

namespace bitnetd {

enum class KvType : uint8_t { kF32, kF16, kInt8 };

struct KvFormat {
    std::string_view name;  // as the kv.type setting has it
    uint32_t value_bytes;
    uint32_t scale_bytes;  // of each row: one head's key or value of one position
};
inline constexpr KvFormat kKvFormats[] = {{"f32", 4, 0}, {"f16", 2, 0}, {"int8", 1, 4}};

constexpr const KvFormat& format_of(KvType type) {
    return kKvFormats[static_cast<uint32_t>(type)];
}

// The type that a checked kv.type setting names.
inline KvType kv_type_of(std::string_view name) {
    for (const KvType type : {KvType::kF32, KvType::kF16, KvType::kInt8}) {
        if (format_of(type).name == name) return type;
    }
    BITNETD_CHECK(false && "kv.type is checked where settings are read");
    return KvType::kF32;
}

// Values of a row with the zeros behind head_dim: rows end where vectors of 16 do.
constexpr uint64_t kv_row_values(uint64_t head_dim) {
    return round_up(head_dim, 16);
}

// A row with its scale.
constexpr uint64_t kv_row_bytes(KvType type, uint64_t head_dim) {
    return kv_row_values(head_dim) * format_of(type).value_bytes + format_of(type).scale_bytes;
}

}  // namespace bitnetd
