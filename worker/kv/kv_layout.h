// How keys and values of one page of positions lie in memory, for all layers of a model:
//   [layer][keys, values][kv_head][kPageTokens][head_dim_padded]
// head_dim_padded is head_dim rounded up to 16; whoever writes a row writes zeros behind head_dim.
// This is the layout of kernels::KvView. Pages start as garbage: a row is written before it is
// read.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/base/bytes.h"

namespace bitnetd::worker {

enum class KvType : uint8_t { kF32, kF16 };

// Positions per page. At most this many positions less one are reserved and unused per sequence; a
// page of a 2B model is 2.4 MB in f16.
inline constexpr uint32_t kPageTokens = 32;

struct KvShape {
    uint32_t layers;
    uint32_t kv_heads;
    uint32_t head_dim;
    KvType type;
};

class KvLayout {
  public:
    explicit KvLayout(const KvShape& shape)
        : shape_(shape),
          head_dim_padded_(static_cast<uint32_t>(round_up(shape.head_dim, 16))),
          value_bytes_(shape.type == KvType::kF32 ? 4 : 2),
          half_bytes_(uint64_t{shape.kv_heads} * kPageTokens * head_dim_padded_ * value_bytes_) {}

    const KvShape& shape() const { return shape_; }
    uint32_t head_dim_padded() const { return head_dim_padded_; }
    uint64_t page_bytes() const { return half_bytes_ * 2 * shape_.layers; }
    uint64_t sequence_pages(uint32_t tokens) const {
        return round_up(tokens, kPageTokens) / kPageTokens;
    }

    // From the start of a page, in bytes.
    uint64_t k_offset(uint32_t layer) const { return half_bytes_ * 2 * layer; }
    uint64_t v_offset(uint32_t layer) const { return k_offset(layer) + half_bytes_; }
    // From k_offset or v_offset to the row of one head and position, in bytes.
    uint64_t row_offset(uint32_t kv_head, uint32_t position) const {
        return (uint64_t{kv_head} * kPageTokens + position % kPageTokens) * head_dim_padded_ *
               value_bytes_;
    }

  private:
    KvShape shape_;
    uint32_t head_dim_padded_;
    uint64_t value_bytes_;
    uint64_t half_bytes_;  // the keys, or the values, of one layer
};

}  // namespace bitnetd::worker
