// A GpuEngine over a model in memory and an emulated device, driven by hand: EngineFixture's
// counterpart.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "common/base/clock.h"
#include "tests/support/cuda/emulated_table.h"
#include "tests/support/devices/emulated_device.h"
#include "worker/gpu/device_weights.h"
#include "worker/gpu/gpu_engine.h"
#include "worker/kv/kv_cache.h"

namespace bitnetd::worker::test {

constexpr uint64_t kGpuTimeoutNs = 5 * kNsPerS;
constexpr int kGpuLost = 77;

inline void end_for_test(const Error& why) noexcept {
    std::fprintf(stderr, "lost: %s\n", why.message.c_str());
    std::_Exit(kGpuLost);
}

class GpuFixture {
  public:
    struct Options {
        KvType kv_type = KvType::kF32;
        uint32_t slots = 1;
        uint32_t step_tokens_max = 64;
        BlockInputs block_inputs = BlockInputs::kInt8;
        EmulatedDevice::Faults faults = {};
    };

    GpuFixture(std::span<const std::byte> segment, const Options& options)
        : options_(options),
          device_(options.faults),
          weights_(open_weights(segment, options.block_inputs).value()),
          on_device_(
              upload_weights(device_, weights_, kGpuTimeoutNs, [](uint64_t, uint64_t) {}).value()),
          layout_({weights_.header.layers, weights_.header.kv_heads, weights_.header.head_dim,
                   options.kv_type}) {
        engine_ = GpuEngine::make({.device = device_,
                                   .kernels = kernels::cuda_emulated::table(),
                                   .weights = on_device_.view,
                                   .step_tokens_max = options.step_tokens_max,
                                   .step_timeout_ns = kGpuTimeoutNs,
                                   .on_lost = end_for_test},
                                  layout_)
                      .value();
        const uint64_t bytes =
            layout_.page_bytes() * layout_.sequence_pages(weights_.header.context) * options.slots;
        cache_.emplace(layout_, std::span(device_.allocate(bytes).value(), bytes), options.slots,
                       weights_.header.context, KvCache::Grow{},
                       [this](std::byte* to, const std::byte* from, uint64_t page_bytes) {
                           engine_->copy_page(to, from, page_bytes);
                       });
        if (!engine_->use(*cache_).ok()) std::abort();
    }

    EmulatedDevice& device() { return device_; }
    const WeightsView& weights() const { return weights_; }
    const WeightsView& on_device() const { return on_device_.view; }
    GpuEngine& engine() { return *engine_; }
    KvCache& cache() { return *cache_; }
    // Grows the sequence as far as needed: tables change as they do in a worker.
    Row row(uint32_t slot, uint32_t token, uint32_t position) {
        cache_->pages().grow(slot, position + 1);
        return {token, position, cache_->table(slot)};
    }

    std::vector<float> feed(uint32_t slot, std::span<const uint32_t> ids, uint32_t first = 0,
                            uint32_t chunk = 0) {
        if (chunk == 0) chunk = options_.step_tokens_max;
        std::vector<Row> rows;
        for (auto at = first; at < ids.size(); at += chunk) {
            rows.clear();
            for (auto p = at; p < ids.size() && p < at + chunk; ++p)
                rows.push_back(row(slot, ids[p], p));
            engine_->step(rows, {});
        }
        const auto logits = engine_->logits_of(static_cast<uint32_t>(rows.size()) - 1);
        return {logits.begin(), logits.end()};
    }

  private:
    Options options_;
    EmulatedDevice device_;
    WeightsView weights_;
    DeviceWeights on_device_;
    KvLayout layout_;
    std::unique_ptr<GpuEngine> engine_;
    std::optional<KvCache> cache_;
};

}  // namespace bitnetd::worker::test
