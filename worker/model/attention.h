// Attention of the rows of a step over their sequences' pages, and the writing of keys and values.
// Any thread; different threads take different rows or heads.
#pragma once

#include <cstdint>
#include <span>

#include "worker/kernels/kernel_api.h"
#include "worker/kv/kv_layout.h"
#include "worker/model/engine.h"
#include "worker/model/weights_view.h"

namespace bitnetd::worker {

class AttentionLayer {
  public:
    AttentionLayer(const kernels::KernelTable& kernels, const KvLayout& layout,
                   const shm::WeightsHeader& model, const LayerWeights& layer);

    // Stores the row's keys and values, each [kv_heads][head_dim], in its page as the layout's type
    // has them, with zeros behind head_dim.
    void store(const Row& row, const float* k, const float* v) const;

    // Heads head_begin .. head_end-1 of one row over what the layer sees of positions 0 ..
    // row.position, all stored before. q and out are the row's [heads][head_dim].
    void attend(const Row& row, int32_t head_begin, int32_t head_end, const float* q,
                float* out) const;

  private:
    // The row's keys, or values, to `offset` of its page.
    void store_half(const Row& row, uint64_t offset, const float* values) const;
    // One head's of them, which go to `half` and on.
    void store_head(const float* values, std::byte* half, uint32_t head, uint32_t position) const;
    kernels::Attention kernel() const;

    const kernels::KernelTable& kernels_;
    const KvLayout& layout_;
    int32_t heads_;
    uint64_t k_offset_;
    uint64_t v_offset_;
    uint32_t window_;  // positions that a row sees; 0: all
    float scale_;      // of the scores
};

}  // namespace bitnetd::worker
