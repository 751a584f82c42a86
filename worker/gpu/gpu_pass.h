// GpuPass: the rows of one step on their way through a model on a GPU (ForwardPass is the same on a
// CPU). Its operations put kernels on the device's stream and return; while a graph is captured
// they become its nodes. The rows' tokens, positions and tables are read from device memory when
// the work runs, so that a graph serves every step of its size. A norm waits for what follows it:
// where that is a product that rounds its input, both are one launch. Allocates in make() only.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>

#include "worker/gpu/device.h"
#include "worker/kv/kv_layout.h"
#include "worker/model/layer_pass.h"

namespace bitnetd::worker {

class GpuPass final : public LayerPass {
  public:
    struct Parts {
        Device& device;
        const kernels::cuda::CudaKernels& kernels;
        const WeightsView& weights;  // its pointers are the device's
        KvLayout layout;
        uint32_t rows_max;
    };
    // Everything outlives the pass.
    static Result<std::unique_ptr<GpuPass>> make(const Parts& parts);

    // On the device: what rows there are, [rows_max], and their page tables, [..][table_pages].
    kernels::cuda::StepRow* step_rows() const { return step_rows_; }
    void use_tables(std::byte* const* tables, uint32_t table_pages);

    // Queues all layers of the first `count` step_rows(), 1 .. rows_max.
    void run(uint32_t count) noexcept;
    // Queues, of `count` rows of the last run(), by their indices in it (device memory): the last
    // norm, out [count][hidden].
    void final_norm(uint32_t count, const uint32_t* rows, float* out) noexcept;
    // Queues all logits of normed rows, [count][vocab].
    void logits(uint32_t count, const float* normed, float* out) noexcept;

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
    struct Norm {
        const float* from;
        const float* weight;
        float* to;
        int32_t size;
    };

    explicit GpuPass(const Parts& parts);
    Result<void> allocate();

    // Puts the waiting norm on the stream.
    void settle(kernels::cuda::Rounding rounding = kernels::cuda::Rounding::kNone) noexcept;
    // The input as the matrices like `w` want it; returns its floats.
    const float* prepare(const Linear& w, const RowValues& input) noexcept;
    void multiply(const RowValues& input, std::span<const Product> products,
                  kernels::cuda::Store store) noexcept;
    kernels::cuda::Pages pages_of(const LayerWeights& w) const;

    Device& device_;
    const kernels::cuda::CudaKernels& kernels_;
    const kernels::cuda::Stream stream_;
    const WeightsView& weights_;
    const KvLayout layout_;
    const uint32_t rows_max_;

    kernels::cuda::StepRow* step_rows_ = nullptr;
    std::byte* const* tables_ = nullptr;
    uint32_t table_pages_ = 0;
    kernels::cuda::Rounded rounded_{};
    float* normed_ = nullptr;  // [rows_max][widest input], where linear layers have own norms
    std::optional<Norm> norm_;
    int32_t count_ = 0;
};

}  // namespace bitnetd::worker
