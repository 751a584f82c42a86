#include "worker/model/attention.h"

#include <cstring>

namespace bitnetd::worker {

AttentionLayer::AttentionLayer(const kernels::KernelTable& kernels, const KvLayout& layout,
                               const shm::WeightsHeader& model, const LayerWeights& layer)
    : kernels_(kernels),
      layout_(layout),
      heads_(static_cast<int32_t>(model.heads)),
      k_offset_(layout.k_offset(layer.index)),
      v_offset_(layout.v_offset(layer.index)),
      window_(layer.windowed ? model.sliding_window : 0),
      scale_(model.attention_scale) {}

void AttentionLayer::store(const Row& row, const float* k, const float* v) const {
    store_half(row, k_offset_, k);
    store_half(row, v_offset_, v);
}

void AttentionLayer::store_half(const Row& row, uint64_t offset, const float* values) const {
    const KvShape& shape = layout_.shape();
    std::byte* const half = row.pages[row.position / kPageTokens] + offset;
    for (uint32_t head = 0; head < shape.kv_heads; ++head)
        store_head(values + uint64_t{head} * shape.head_dim, half, head, row.position);
}

void AttentionLayer::store_head(const float* values, std::byte* half, uint32_t head,
                                uint32_t position) const {
    const uint32_t head_dim = layout_.shape().head_dim;
    const size_t pad = layout_.head_dim_padded() - head_dim;
    std::byte* const to = half + layout_.row_offset(head, position);
    switch (layout_.shape().type) {
        case KvType::kF32:
            std::memcpy(to, values, head_dim * sizeof(float));
            std::memset(to + head_dim * sizeof(float), 0, pad * sizeof(float));
            return;
        case KvType::kF16:
            kernels_.f32_to_f16(head_dim, values, reinterpret_cast<uint16_t*>(to));
            std::memset(to + head_dim * sizeof(uint16_t), 0, pad * sizeof(uint16_t));
            return;
        case KvType::kInt8:  // the kernel writes the padding
            kernels_.quantise_head(
                static_cast<int32_t>(head_dim), values, reinterpret_cast<int8_t*>(to),
                reinterpret_cast<float*>(half + layout_.scale_offset(head, position)));
            return;
    }
}

kernels::Attention AttentionLayer::kernel() const {
    switch (layout_.shape().type) {
        case KvType::kF32:
            return kernels_.attention_f32;
        case KvType::kF16:
            return kernels_.attention_f16;
        case KvType::kInt8:
            break;
    }
    return kernels_.attention_int8;
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
    const auto window = static_cast<int32_t>(window_);
    const int32_t first = window == 0 || count < window ? 0 : count - window;
    kernel()(view, heads_, head_begin, head_end, first, count, scale_, q, out);
}

}  // namespace bitnetd::worker
