// ForwardPass: the rows of one step on their way through a model, and the operations its layers are
// written in (worker/model/families/). Each operation is one or two phases: the threads of the pool
// do their parts of it, then meet. Which rows stand beside a row, and how many threads there are,
// changes nothing in its result. Buffers are allocated once. Loop thread only.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>

#include "worker/kernels/kernel_api.h"
#include "worker/kv/kv_layout.h"
#include "worker/model/aligned_array.h"
#include "worker/model/engine.h"
#include "worker/model/linear.h"
#include "worker/model/phases.h"
#include "worker/model/weights_view.h"

namespace bitnetd::worker {

// One vector of `size` floats for every row of the step, without gaps.
struct RowValues {
    RowValues(uint32_t rows_max, int32_t size_)
        : size(size_), values(rows_max * static_cast<size_t>(size_)) {}

    float* row(int64_t i) const { return values.data() + i * size; }

    int32_t size;
    AlignedArray<float> values;
};

class ForwardPass {
  public:
    // All of them outlive the pass.
    ForwardPass(const WeightsView& weights, const kernels::KernelTable& kernels, Phases& phases,
                const KvLayout& layout, uint32_t rows_max);

    // Computes all layers of 1 .. rows_max rows; the hidden states stay in x for what follows.
    void run(std::span<const Row> rows) noexcept;

    // Of some rows of the last run(), by their indices in it: the last norm, [rows.size()][hidden].
    void final_norm(std::span<const uint32_t> rows, float* out) noexcept;
    // All logits of normed rows, [rows][vocab].
    void logits(int32_t rows, const float* normed, float* out) noexcept;

    // What layers compute on: [rows][size].
    RowValues x;        // the residual stream, hidden
    RowValues h;        // a normed copy of it, or what will be added to it
    RowValues q, k, v;  // queries, keys and values: heads side by side
    RowValues a;        // what attention gives, as wide as q
    RowValues g, u;     // gate and up, ffn

    // to = norm(from, weight), row by row; from may be to.
    void norm(const RowValues& from, const float* weight, RowValues& to) noexcept;
    // Every head by itself.
    void norm_heads(RowValues& heads, const float* weight) noexcept;

    // *y = w input + bias, for each of them.
    struct Product {
        const Linear* w;
        RowValues* y;
    };
    void multiply(const RowValues& input, std::initializer_list<Product> products) noexcept;
    // x += w input + bias
    void multiply_and_add(const RowValues& input, const Linear& w) noexcept;
    // g = activation(gate input) * (up input)
    void gate(const RowValues& input, const Linear& gate, const Linear& up) noexcept;
    // x += what
    void add(const RowValues& what) noexcept;

    // Turns q and k by their rows' positions and stores k and v in the rows' pages.
    void rotate_and_store(const LayerWeights& w) noexcept;
    // a = attention of q over the pages.
    void attend(const LayerWeights& w) noexcept;

  private:
    void embed() noexcept;
    void prepare(const Linear& w, const RowValues& input) noexcept;
    // Multiplies; `then` is called with each finished range of outputs, on the thread that made it.
    template <typename Then>
    void multiply_then(const RowValues& input, std::span<const Product> products,
                       Then then) noexcept;

    int32_t count() const { return static_cast<int32_t>(rows_.size()); }

    const WeightsView& weights_;
    const kernels::KernelTable& kernels_;
    Phases& phases_;
    const KvLayout& layout_;
    const kernels::RopeNeox rope_;
    const kernels::GatedActivation activation_;

    std::span<const Row> rows_;
    LinearInput input_;
    AlignedArray<float>
        normed_;  // [rows][widest input] where linear layers have norms of their own
};

}  // namespace bitnetd::worker
