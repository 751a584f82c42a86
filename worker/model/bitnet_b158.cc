#include "worker/model/bitnet_b158.h"

#include <algorithm>
#include <cstring>

#include "worker/model/attention.h"
#include "worker/topology/slice.h"

namespace bitnetd::worker {
namespace {

// Outputs are split over threads in multiples of a cache line of floats.
constexpr int64_t kOutputGrain = 16;

}  // namespace

BitnetB158::BitnetB158(const WeightsView& weights, const kernels::KernelTable& kernels,
                       Phases& phases, const KvLayout& layout, uint32_t rows_max)
    : weights_(weights),
      kernels_(kernels),
      phases_(phases),
      layout_(layout),
      hidden_(static_cast<int32_t>(weights.header.hidden)),
      ffn_(static_cast<int32_t>(weights.header.ffn)),
      query_size_(weights.query_size()),
      kv_size_(weights.kv_size()),
      x_(size_t{rows_max} * weights.header.hidden),
      h_(size_t{rows_max} * weights.header.hidden),
      q_(rows_max * static_cast<size_t>(query_size_)),
      k_(rows_max * static_cast<size_t>(kv_size_)),
      v_(rows_max * static_cast<size_t>(kv_size_)),
      a_(rows_max * static_cast<size_t>(query_size_)),
      g_(size_t{rows_max} * weights.header.ffn),
      up_(size_t{rows_max} * weights.header.ffn),
      quantised_(rows_max, std::max({hidden_, ffn_, query_size_})) {}

void BitnetB158::forward(std::span<const Row> rows) noexcept {
    rows_ = rows;
    embed();
    for (uint32_t layer = 0; layer < weights_.layers.size(); ++layer) {
        attention_block(weights_.layers[layer], layer);
        ffn_block(weights_.layers[layer]);
    }
}

void BitnetB158::attention_block(const LayerWeights& w, uint32_t layer) noexcept {
    norm_and_quantise(x_.data(), hidden_, w.attn_norm, h_.data());
    phases_.run(product_work(query_size_ + 2 * kv_size_, hidden_), [&](int part, int parts) {
        for (const auto& [matrix, y] :
             {std::pair(&w.q, q_.data()), {&w.k, k_.data()}, {&w.v, v_.data()}}) {
            const Range outputs = slice(matrix->outputs, parts, part, kOutputGrain);
            quantised_.multiply(kernels_, count(), *matrix, outputs, y);
        }
    });
    rope_and_store(layer);
    attend(layer);
    norm_and_quantise(a_.data(), query_size_, w.attn_sub_norm, a_.data());
    multiply_and_add(w.attn_output);
}

void BitnetB158::ffn_block(const LayerWeights& w) noexcept {
    norm_and_quantise(x_.data(), hidden_, w.ffn_norm, h_.data());
    phases_.run(product_work(2 * ffn_, hidden_), [&](int part, int parts) {
        const Range outputs = slice(ffn_, parts, part, kOutputGrain);
        quantised_.multiply(kernels_, count(), w.gate, outputs, g_.data());
        quantised_.multiply(kernels_, count(), w.up, outputs, up_.data());
        for (int64_t i = 0; i < count(); ++i) {
            const int64_t at = i * ffn_ + outputs.begin;
            kernels_.relu2_gate(outputs.count(), g_.data() + at, up_.data() + at);
        }
    });
    norm_and_quantise(g_.data(), ffn_, w.ffn_sub_norm, g_.data());
    multiply_and_add(w.down);
}

void BitnetB158::embed() noexcept {
    for (int64_t i = 0; i < count(); ++i) {
        const int64_t at = int64_t{rows_[static_cast<size_t>(i)].token} * hidden_;
        float* const x = x_.data() + i * hidden_;
        if (weights_.embedding.packing == shm::Packing::kF16) {
            kernels_.f16_to_f32(hidden_, static_cast<const uint16_t*>(weights_.embedding.rows) + at,
                                x);
        } else {
            std::memcpy(x, static_cast<const float*>(weights_.embedding.rows) + at,
                        static_cast<size_t>(hidden_) * sizeof(float));
        }
    }
}

void BitnetB158::norm_and_quantise(float* x, int32_t size, const float* weight, float* y) noexcept {
    phases_.run(int64_t{count()} * size * kNormWork, [&](int part, int parts) {
        const Range rows = slice(count(), parts, part);
        if (rows.count() == 0) return;
        const int64_t at = rows.begin * size;
        kernels_.rms_norm(static_cast<int32_t>(rows.count()), size, x + at, size, weight,
                          weights_.header.norm_eps, y + at, size);
        quantised_.quantise(kernels_, rows, size, y);
    });
}

void BitnetB158::rope_and_store(uint32_t layer) noexcept {
    const AttentionLayer attention(kernels_, layout_, static_cast<int32_t>(weights_.header.heads),
                                   layer);
    const auto head_dim = static_cast<int32_t>(weights_.header.head_dim);
    const auto rope_dims = static_cast<int32_t>(weights_.header.rope_dims);
    phases_.run(int64_t{count()} * (query_size_ + kv_size_) * kNormWork, [&](int part, int parts) {
        const Range rows = slice(count(), parts, part);
        for (int64_t i = rows.begin; i < rows.end; ++i) {
            const Row& row = rows_[static_cast<size_t>(i)];
            const float* cos_sin = weights_.rope + int64_t{row.position} * rope_dims;
            float* const q = q_.data() + i * query_size_;
            float* const k = k_.data() + i * kv_size_;
            kernels_.rope_neox(query_size_ / head_dim, head_dim, rope_dims, cos_sin, q);
            kernels_.rope_neox(kv_size_ / head_dim, head_dim, rope_dims, cos_sin, k);
            attention.store(row, k, v_.data() + i * kv_size_);
        }
    });
}

// Work items are a row and the query heads that share a kv head (or single heads, when there are
// too few groups for the threads), dealt out in turn: later rows of a chunk have more to attend to.
void BitnetB158::attend(uint32_t layer) noexcept {
    const auto heads = static_cast<int32_t>(weights_.header.heads);
    const AttentionLayer attention(kernels_, layout_, heads, layer);
    const auto groups = static_cast<int32_t>(weights_.header.kv_heads);
    const bool split_groups = count() * groups < 2 * phases_.threads();
    const int32_t items_per_row = split_groups ? heads : groups;
    const int32_t heads_per_item = heads / items_per_row;
    int64_t positions = 0;
    for (const Row& row : rows_)
        positions += row.position + 1;
    phases_.run(positions * query_size_ * 2 * kFloatWork, [&](int part, int parts) {
        const int64_t items = int64_t{count()} * items_per_row;
        for (int64_t item = part; item < items; item += parts) {
            const int64_t i = item / items_per_row;
            const auto head = static_cast<int32_t>(item % items_per_row) * heads_per_item;
            attention.attend(rows_[static_cast<size_t>(i)], head, head + heads_per_item,
                             q_.data() + i * query_size_, a_.data() + i * query_size_);
        }
    });
}

void BitnetB158::multiply_and_add(const TernaryMatrix& w) noexcept {
    phases_.run(product_work(hidden_, w.inputs), [&](int part, int parts) {
        const Range outputs = slice(hidden_, parts, part, kOutputGrain);
        quantised_.multiply(kernels_, count(), w, outputs, h_.data());
        for (int64_t i = 0; i < count(); ++i) {
            const int64_t at = i * hidden_ + outputs.begin;
            kernels_.add_in_place(outputs.count(), h_.data() + at, x_.data() + at);
        }
    });
}

void BitnetB158::logits(std::span<const uint32_t> rows, float* out) noexcept {
    const auto wanted = static_cast<int32_t>(rows.size());
    for (int64_t i = 0; i < wanted; ++i) {
        kernels_.rms_norm(1, hidden_, x_.data() + int64_t{rows[static_cast<size_t>(i)]} * hidden_,
                          hidden_, weights_.output_norm, weights_.header.norm_eps,
                          h_.data() + i * hidden_, hidden_);
    }
    const auto vocab = static_cast<int64_t>(weights_.header.vocab);
    phases_.run(wanted * vocab * hidden_ * kFloatWork, [&](int part, int parts) {
        const Range ids = slice(vocab, parts, part, kOutputGrain);
        if (ids.count() == 0) return;
        const auto n = static_cast<int32_t>(ids.count());
        const int64_t at = ids.begin * hidden_;
        if (weights_.output.packing == shm::Packing::kF16) {
            kernels_.matmul_f16(wanted, n, hidden_, h_.data(),
                                static_cast<const uint16_t*>(weights_.output.rows) + at,
                                out + ids.begin, vocab);
        } else {
            kernels_.matmul_f32(wanted, n, hidden_, h_.data(),
                                static_cast<const float*>(weights_.output.rows) + at,
                                out + ids.begin, vocab);
        }
    });
}

}  // namespace bitnetd::worker
