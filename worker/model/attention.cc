#include "worker/model/attention.h"

#include <cmath>
#include <cstring>

namespace bitnetd::worker {

AttentionLayer::AttentionLayer(const kernels::KernelTable& kernels, const KvLayout& layout,
                               int32_t heads, uint32_t layer)
    : kernels_(kernels),
      layout_(layout),
      heads_(heads),
      k_offset_(layout.k_offset(layer)),
      v_offset_(layout.v_offset(layer)),
      scale_(1.0f / std::sqrt(static_cast<float>(layout.shape().head_dim))) {}

void AttentionLayer::store(const Row& row, const float* k, const float* v) const {
    store_half(row, k_offset_, k);
    store_half(row, v_offset_, v);
}

void AttentionLayer::store_half(const Row& row, uint64_t offset, const float* values) const {
    const KvShape& shape = layout_.shape();
    const size_t pad = layout_.head_dim_padded() - shape.head_dim;
    std::byte* const base = row.pages[row.position / kPageTokens] + offset;
    for (uint32_t head = 0; head < shape.kv_heads; ++head) {
        std::byte* const to = base + layout_.row_offset(head, row.position);
        const float* from = values + uint64_t{head} * shape.head_dim;
        if (shape.type == KvType::kF32) {
            std::memcpy(to, from, shape.head_dim * sizeof(float));
            std::memset(to + shape.head_dim * sizeof(float), 0, pad * sizeof(float));
        } else {
            kernels_.f32_to_f16(shape.head_dim, from, reinterpret_cast<uint16_t*>(to));
            std::memset(to + shape.head_dim * sizeof(uint16_t), 0, pad * sizeof(uint16_t));
        }
    }
}

void AttentionLayer::attend(const Row& row, int32_t head_begin, int32_t head_end, const float* q,
                            float* out) const {
    const KvShape& shape = layout_.shape();
    const kernels::KvView view = {.pages = row.pages,
                                  .k_offset = static_cast<int64_t>(k_offset_),
                                  .v_offset = static_cast<int64_t>(v_offset_),
                                  .page_tokens = kPageTokens,
                                  .kv_heads = static_cast<int32_t>(shape.kv_heads),
                                  .head_dim = static_cast<int32_t>(shape.head_dim)};
    const auto count = static_cast<int32_t>(row.position + 1);
    const auto attention =
        shape.type == KvType::kF32 ? kernels_.attention_f32 : kernels_.attention_f16;
    attention(view, heads_, head_begin, head_end, 0, count, scale_, q, out);
}

}  // namespace bitnetd::worker
