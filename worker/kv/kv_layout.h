// How keys and values of one page of positions lie in memory, for all layers of a model:
//   [layer][keys, values][kv_head] of rows [kPageTokens][head_dim_padded]
// Where they are stored in eight bits, the scales of a head's rows lie behind them: float
// [kPageTokens]. A scale belongs to one row, never to a page: a row's bytes depend on nothing
// beside it. head_dim_padded is head_dim rounded up to 16; whoever writes a row writes zeros behind
// head_dim. This is the layout of kernels::KvView. Pages start as garbage: a row is written before
// it is read.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/base/bytes.h"
#include "common/config/kv_type.h"

namespace bitnetd::worker {

// Positions per page. At most this many positions less one are reserved and unused per sequence; a
// page of a 2B model is 4.9 MB in f32, 2.5 MB in f16 and 1.3 MB in int8.
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
          head_bytes_(kPageTokens * kv_row_bytes(shape.type, shape.head_dim)),
          half_bytes_(shape.kv_heads * head_bytes_) {}

    const KvShape& shape() const { return shape_; }
    uint32_t head_dim_padded() const {
        return static_cast<uint32_t>(kv_row_values(shape_.head_dim));
    }
    uint64_t page_bytes() const { return half_bytes_ * 2 * shape_.layers; }
    uint64_t sequence_pages(uint32_t tokens) const {
        return round_up(tokens, kPageTokens) / kPageTokens;
    }

    // From the start of a page, in bytes.
    uint64_t k_offset(uint32_t layer) const { return half_bytes_ * 2 * layer; }
    uint64_t v_offset(uint32_t layer) const { return k_offset(layer) + half_bytes_; }
    // From k_offset or v_offset to the row of one head and position, in bytes.
    uint64_t row_offset(uint32_t kv_head, uint32_t position) const {
        return kv_head * head_bytes_ + position % kPageTokens * values_bytes();
    }
    // The same to the row's scale, which only int8 has.
    uint64_t scale_offset(uint32_t kv_head, uint32_t position) const {
        return kv_head * head_bytes_ + kPageTokens * values_bytes() +
               position % kPageTokens * sizeof(float);
    }

  private:
    // Of a row, without its scale.
    uint64_t values_bytes() const {
        return kv_row_values(shape_.head_dim) * format_of(shape_.type).value_bytes;
    }

    KvShape shape_;
    uint64_t head_bytes_;  // one head's keys, or values, of one layer
    uint64_t half_bytes_;  // the same of all heads
};

}  // namespace bitnetd::worker
