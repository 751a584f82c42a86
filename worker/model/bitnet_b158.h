// The forward pass of bitnet-b1.58 (BitNet b1.58 2B-4T and its siblings), for a layer:
//
//   h = norm(x, attn_norm)            q, k, v = BitLinear(h)          q, k = rope(q, k)
//   a = norm(attention(q, k, v), attn_sub_norm)                       x += BitLinear_output(a)
//   h = norm(x, ffn_norm)             g = relu2(BitLinear_gate(h)) * BitLinear_up(h)
//   g = norm(g, ffn_sub_norm)                                         x += BitLinear_down(g)
//
// and logits = output . norm(x, output_norm). Every line of bitnet_b158.cc's layer is one phase:
// the threads of the pool do their parts of it, then meet. Which rows stand beside a row, and how
// many threads there are, changes nothing in its result. Buffers are allocated once.
#pragma once

#include <cstdint>
#include <span>

#include "worker/kernels/kernel_api.h"
#include "worker/kv/kv_layout.h"
#include "worker/model/aligned_array.h"
#include "worker/model/bit_linear.h"
#include "worker/model/engine.h"
#include "worker/model/phases.h"
#include "worker/model/weights_view.h"

namespace bitnetd::worker {

class BitnetB158 {
  public:
    // All of them outlive the model.
    BitnetB158(const WeightsView& weights, const kernels::KernelTable& kernels, Phases& phases,
               const KvLayout& layout, uint32_t rows_max);

    // Computes all layers of 1 .. rows_max rows; the hidden states stay for logits().
    void forward(std::span<const Row> rows) noexcept;

    // logits [rows.size()][vocab] of some rows of the last forward(); `rows` are indices into it.
    void logits(std::span<const uint32_t> rows, float* out) noexcept;

  private:
    void embed() noexcept;
    void attention_block(const LayerWeights& w, uint32_t layer) noexcept;
    void ffn_block(const LayerWeights& w) noexcept;

    // One phase each. count() is the number of rows of this forward pass.
    void norm_and_quantise(float* x, int32_t size, const float* weight, float* y) noexcept;
    void rope_and_store(uint32_t layer) noexcept;
    void attend(uint32_t layer) noexcept;
    void multiply_and_add(const TernaryMatrix& w) noexcept;  // x += BitLinear(quantised)

    int64_t product_work(int64_t outputs, int64_t inputs) const {
        return count() * outputs * inputs;
    }
    int32_t count() const { return static_cast<int32_t>(rows_.size()); }

    const WeightsView& weights_;
    const kernels::KernelTable& kernels_;
    Phases& phases_;
    const KvLayout& layout_;
    const int32_t hidden_, ffn_, query_size_, kv_size_;

    std::span<const Row> rows_;
    AlignedArray<float> x_;          // [rows][hidden] the residual stream
    AlignedArray<float> h_;          // [rows][hidden] a normed copy, or what is added to x
    AlignedArray<float> q_, k_, v_;  // [rows][query_size], [rows][kv_size] twice
    AlignedArray<float> a_;          // [rows][query_size] attention
    AlignedArray<float> g_, up_;     // [rows][ffn]
    QuantisedRows quantised_;
};

}  // namespace bitnetd::worker
