// ForwardPass: the rows of one step on their way through a model, on the cores of a CPU. Each
// operation (layer_pass.h) is one or two phases: the threads of the pool do their parts of it, then
// meet. How many threads there are changes nothing in its result. Buffers are allocated once. Loop
// thread only.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

#include "worker/kernels/kernel_api.h"
#include "worker/kv/kv_layout.h"
#include "worker/model/aligned_array.h"
#include "worker/model/engine.h"
#include "worker/model/layer_pass.h"
#include "worker/model/linear.h"
#include "worker/model/phases.h"
#include "worker/model/weights_view.h"

namespace bitnetd::worker {

class ForwardPass final : public LayerPass {
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

    void norm(const RowValues& from, const float* weight, RowValues& to) noexcept override;
    void norm_heads(RowValues& heads, const float* weight) noexcept override;
    void multiply(const RowValues& input,
                  std::initializer_list<Product> products) noexcept override;
    void multiply_and_add(const RowValues& input, const Linear& w) noexcept override;
    void gate(const RowValues& input, const Linear& gate, const Linear& up) noexcept override;
    void add(const RowValues& what) noexcept override;
    void rotate_and_store(const LayerWeights& w) noexcept override;
    void attend(const LayerWeights& w) noexcept override;

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

    std::vector<AlignedArray<float>> memory_;  // behind the values
    std::span<const Row> rows_;
    LinearInput input_;
    AlignedArray<float>
        normed_;  // [rows][widest input] where linear layers have norms of their own
};

}  // namespace bitnetd::worker
