#include "tests/support/bench/gpu_model.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "common/base/clock.h"

namespace bitnetd::bench {
namespace {

// Of a piece of an upload, or of a step.
constexpr uint64_t kTimeoutNs = 60 * kNsPerS;

void end_without_device(const Error& why) noexcept {
    std::fprintf(stderr, "the device failed: %s\n", why.message.c_str());
    std::_Exit(1);
}

}  // namespace

Result<std::unique_ptr<GpuModel>> GpuModel::create(worker::Device& device,
                                                   const kernels::cuda::CudaKernels& kernels,
                                                   std::span<const std::byte> weights,
                                                   worker::BlockInputs block_inputs) {
    std::unique_ptr<GpuModel> out(new GpuModel(device, kernels));
    BITNETD_ASSIGN(const auto on_host, worker::open_weights(weights, block_inputs));
    BITNETD_TRY(worker::check_gpu(on_host));
    BITNETD_ASSIGN(out->weights_,
                   worker::upload_weights(device, on_host, kTimeoutNs, [](uint64_t, uint64_t) {}));
    return out;
}

Result<std::unique_ptr<GpuModel::Run>> GpuModel::run(const Options& options) {
    std::unique_ptr<Run> out(new Run(device_));
    const shm::WeightsHeader& model = weights_.view.header;
    const worker::KvLayout layout({model.layers, model.kv_heads, model.head_dim, options.kv_type});
    BITNETD_ASSIGN(out->engine_, worker::GpuEngine::make({.device = device_,
                                                          .kernels = kernels_,
                                                          .weights = weights_.view,
                                                          .step_tokens_max = options.step_tokens,
                                                          .step_timeout_ns = kTimeoutNs,
                                                          .on_lost = end_without_device},
                                                         layout));
    BITNETD_ASSIGN(const uint64_t bytes,
                   arena_bytes(layout, model, options.sequences, options.positions));
    BITNETD_ASSIGN(std::byte* const arena, device_.allocate(bytes));
    out->cache_.emplace(
        layout, std::span(arena, bytes), options.sequences, options.positions,
        worker::KvCache::Grow{},
        [engine = out->engine_.get()](std::byte* to, const std::byte* from, uint64_t page_bytes) {
            engine->copy_page(to, from, page_bytes);
        });
    BITNETD_TRY(out->engine_->use(*out->cache_));
    out->runner_.emplace(ModelRunner::Parts{*out->engine_, *out->cache_, model, options.step_tokens,
                                            options.sequences, options.positions});
    return out;
}

GpuModel::Run::~Run() {
    runner_.reset();
    cache_.reset();
    engine_.reset();
    device_.give_back(mark_);
}

}  // namespace bitnetd::bench
