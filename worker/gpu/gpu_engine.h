// GpuEngine: TransformerEngine's steps on a GPU. The layers are a graph for each bucket of rows,
// and norm, logits and choices one for each bucket of draws; a step uploads what rows there are,
// and what is new in their page tables, launches the two and waits once. Of most draws a few
// numbers come back (draw_way.h); of the others the logits of their rows, from which the host
// draws. Results are those of TransformerEngine, bit for bit.
//
// A device that fails in a step cannot be asked for anything again, and a step has no way to fail:
// `on_lost` ends the process, and the generations go on elsewhere. Allocates in make() only. Loop
// thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "worker/gpu/buckets.h"
#include "worker/gpu/device.h"
#include "worker/gpu/draw_way.h"
#include "worker/gpu/gpu_pass.h"
#include "worker/gpu/table_mirror.h"
#include "worker/kv/kv_cache.h"
#include "worker/model/engine.h"

namespace bitnetd::worker {

class GpuEngine final : public Engine {
  public:
    // Says why and ends the process; does not return.
    using OnLost = void (*)(const Error& why) noexcept;

    struct Parts {
        Device& device;
        const kernels::cuda::CudaKernels& kernels;
        const WeightsView& weights;  // its pointers are the device's
        uint32_t step_tokens_max;
        uint64_t step_timeout_ns;
        OnLost on_lost;
    };
    // Buffers. Everything outlives the engine.
    static Result<std::unique_ptr<GpuEngine>> make(const Parts& parts, const KvLayout& layout);
    // Graphs over the tables of a cache whose pages are the device's; it outlives the engine.
    // Before the first step.
    Result<void> use(const KvCache& cache);

    void step(std::span<const Row> rows, std::span<const Draw> draws) noexcept override;
    std::span<const float> hidden_of(uint32_t row) noexcept override;

    // The logits [vocab] of one row of the last step. For tests.
    std::span<const float> logits_of(uint32_t row) noexcept;

    // What the last layer of the last step left in its rows, in device memory. For the self-check.
    const LayerPass& values() const { return *pass_; }

    // Queues the copy of a page: KvCache::Copy.
    void copy_page(std::byte* to, const std::byte* from, uint64_t bytes) noexcept;

  private:
    // Logits of so many rows are made at once: often enough for each row of the output matrix, and
    // no more than 64 MiB of a vocabulary of 128k.
    static constexpr uint32_t kDrawRowsMax = 128;

    GpuEngine(const Parts& parts, std::unique_ptr<GpuPass> pass);
    Result<void> allocate(const KvLayout& layout);

    void put_rows(std::span<const Row> rows) noexcept;
    void put_tables(std::span<const Row> rows) noexcept;
    void draw_some(std::span<const Draw> draws) noexcept;
    void put_draws(std::span<const Draw> draws) noexcept;
    void fetch_draws(std::span<const Draw> draws) noexcept;
    void take_draw(size_t i, const Draw& draw) noexcept;
    void draw_from(size_t i, const Draw& draw) noexcept;
    void take_from_logits(const Draw& draw, std::span<const float> logits) noexcept;
    std::span<float> logits_row(size_t i) const { return {host_logits_ + i * vocab_, vocab_}; }
    void queue_draws(uint32_t count) noexcept;
    void wait() noexcept;

    Device& device_;
    const kernels::cuda::CudaKernels& kernels_;
    const uint64_t step_timeout_ns_;
    const OnLost on_lost_;
    const uint32_t vocab_;
    const uint32_t hidden_;
    std::unique_ptr<GpuPass> pass_;
    Buckets row_buckets_;
    Buckets draw_buckets_;
    std::vector<Device::Graph> row_graphs_;
    std::vector<Device::Graph> draw_graphs_;
    const KvCache* cache_ = nullptr;
    std::optional<TableMirror> mirror_;
    std::byte* spare_page_ = nullptr;  // of rows that fill a bucket up
    uint32_t rows_ = 0;                // of the last step
    bool has_hidden_ = false;          // host_hidden_ is of the last step

    // On the device, and beside each what it is uploaded from or downloaded to.
    std::byte** tables_ = nullptr;  // [slots + 1][table_pages]; the last one is of the spare page
    std::byte** host_tables_ = nullptr;
    kernels::cuda::StepRow* host_rows_ = nullptr;  // [step_tokens_max]
    uint32_t* draw_rows_ = nullptr;                // [kDrawRowsMax]
    uint32_t* host_draw_rows_ = nullptr;
    kernels::cuda::Largest* largest_ = nullptr;  // [kDrawRowsMax]
    kernels::cuda::Largest* host_largest_ = nullptr;
    kernels::cuda::PlainDraw* plain_ = nullptr;  // [kDrawRowsMax]
    kernels::cuda::PlainDraw* host_plain_ = nullptr;
    float* normed_ = nullptr;  // [step_tokens_max][hidden]
    float* host_hidden_ = nullptr;
    float* logits_ = nullptr;  // [kDrawRowsMax][vocab]
    float* host_logits_ = nullptr;
    uint32_t* all_rows_ = nullptr;  // [step_tokens_max]: 0, 1, 2, ...

    std::vector<DrawWay> ways_;      // of the draws at work
    std::vector<TokenLogit> among_;  // of one draw
    Sampler sampler_;
};

}  // namespace bitnetd::worker
