#include "worker/gpu/gpu_worker.h"

#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/confine/confine.h"
#include "common/log/log.h"
#include "worker/gpu/device_check.h"
#include "worker/gpu/device_monitor.h"
#include "worker/gpu/device_weights.h"
#include "worker/gpu/gpu_engine.h"
#include "worker/gpu/kv_budget.h"
#include "worker/gpu/nvml.h"
#include "worker/kernels/dispatch.h"
#include "worker/topology/cores.h"

namespace bitnetd::worker {
namespace {

// The CPU's part of the self-check is small: more threads would only wait for each other.
constexpr size_t kCheckThreadsMax = 8;

// With the device in hand, what should not happen is what the self-check found.
ExitCode exit_code_of_device(const Error& error) {
    return exit_code_of(error,
                        error.code == ErrorCode::kInternal ? kExitSelfCheck : kExitDeviceLost);
}

// In a step: nothing can be asked of the device any more, not even to give back its memory.
void end_without_device(const Error& why) noexcept {
    const std::string words = "lost the GPU: " + why.message;
    log::error("device_lost", {{"reason", why.message}});
    say_last_words(words.c_str());
    _exit(kExitDeviceLost);
}

Result<std::unique_ptr<ThreadPool>> check_pool() {
    BITNETD_ASSIGN(CoreShare share, share_of_worker(NumaMachine::look(), 1, 0));
    share.cores.resize(std::min(share.cores.size(), kCheckThreadsMax));
    return ThreadPool::create({.cores = share.cores, .pin = false, .spin_us = 0});
}

class GpuWorker final : public Worker {
  public:
    GpuWorker(shm::ChildLink& link, uint32_t device_index, const GpuProgram& program)
        : link_(link),
          params_(link.params()),
          kernels_(program.kernels()),
          device_index_(device_index),
          program_(program) {}

    std::optional<Failure> start() override {
        const uint64_t begun_ns = monotonic_ns();
        if (auto taken = take_in(); !taken.ok()) {
            const ExitCode code = exit_code_of(taken.error(), kExitInternal);
            return Failure{code, std::move(taken).error()};
        }
        if (auto built = build(); !built.ok()) {
            const ExitCode code = exit_code_of_device(built.error());
            return Failure{code, std::move(built).error()};
        }
        if (auto confined = confine(Profile::kGpuWorker); !confined.ok()) {
            return Failure{kExitInternal, std::move(confined).error()};
        }
        loop_.emplace(
            loop_settings(params_, weights_, context_max_),
            StepLoop::Parts{*engine_, *cache_, link_.board(), link_.doorbell(), link_.channel()});
        if (auto said = say_ready(link_, kernels_.name); !said.ok()) {
            return Failure{kExitLostSupervisor, std::move(said).error()};
        }
        log::info("worker_ready", {{"worker", link_.slot()},
                                   {"incarnation", link_.incarnation()},
                                   {"device", "cuda:" + std::to_string(device_index_)},
                                   {"gpu", device_->facts().name},
                                   {"family", device_->facts().family},
                                   {"kernel_isa", kernels_.name},
                                   {"slots", params_.worker_slots_max},
                                   {"context", context_max_},
                                   {"kv_pages", cache_->pages().pages_total()},
                                   {"kv_bytes", kv_bytes_},
                                   {"weights_bytes", on_device_.bytes},
                                   {"free_bytes", free_bytes_},
                                   {"figures", monitor_.has_value()},
                                   {"start_ms", (monotonic_ns() - begun_ns) / kNsPerMs}});
        return std::nullopt;
    }

    ExitCode run() override { return run_loop(*loop_, std::move(setup_.later)); }

  private:
    Result<void> take_in() {
        BITNETD_ASSIGN(setup_, take_setup(link_));
        setup_.arena = {};  // of the host's memory
        BITNETD_ASSIGN(weights_, open_weights_for(params_, setup_.weights));
        if (params_.worker_null_model == 1) {
            return unsupported(
                "worker.null_model makes tokens up on CPU workers only: leave "
                "server.gpu empty");
        }
        return check_gpu(weights_);
    }

    Result<void> build() {
        BITNETD_ASSIGN(device_, program_.open(device_index_));
        if (auto nvml = Nvml::open(device_->facts().pci_id)) {
            monitor_.emplace(std::move(*nvml), link_.board());
        }
        const uint64_t timeout_ns = params_.server_worker_start_timeout_ms * kNsPerMs;
        BITNETD_ASSIGN(on_device_,
                       upload_weights(*device_, weights_, timeout_ns,
                                      [this](uint64_t done, uint64_t) { show_progress(done); }));
        BITNETD_TRY(check(timeout_ns));
        return make_engine();
    }

    void show_progress(uint64_t done_bytes) {
        link_.board().set_gauge(Gauge::kWeightsUploadedBytes, done_bytes);
        link_.board().heartbeat(monotonic_ns());
    }

    Result<void> check(uint64_t timeout_ns) {
        BITNETD_ASSIGN(const auto pool, check_pool());
        return check_device({.device = *device_,
                             .kernels = kernels_,
                             .on_device = on_device_.view,
                             .on_host = weights_,
                             .table = kernels::select(params_.worker_kernel_isa),
                             .pool = *pool,
                             .kv_type = kv_type_of(params_.kv_type),
                             .timeout_ns = timeout_ns});
    }

    Result<void> make_engine() {
        const shm::WeightsHeader& model = weights_.header;
        layout_.emplace(KvShape{.layers = model.layers,
                                .kv_heads = model.kv_heads,
                                .head_dim = model.head_dim,
                                .type = kv_type_of(params_.kv_type)});
        // Its own words come before the supervisor's patience with a hung step ends.
        const uint64_t step_timeout_ns = params_.server_hang_timeout_ms * kNsPerMs / 10 * 9;
        const auto step_tokens = static_cast<uint32_t>(params_.worker_step_tokens_max);
        BITNETD_ASSIGN(auto engine, GpuEngine::make({.device = *device_,
                                                     .kernels = kernels_,
                                                     .weights = on_device_.view,
                                                     .step_tokens_max = step_tokens,
                                                     .step_timeout_ns = step_timeout_ns,
                                                     .on_lost = end_without_device},
                                                    *layout_));
        engine_ = std::move(engine);
        BITNETD_TRY(make_cache());
        return engine_->use(*cache_);
    }

    Result<void> make_cache() {
        BITNETD_ASSIGN(free_bytes_, device_->free_bytes());
        const uint32_t context = context_max_of(params_, weights_.header.context, UINT64_MAX);
        const KvDemand demand{.page_bytes = layout_->page_bytes(),
                              .page_tokens = kPageTokens,
                              .slots_max = params_.worker_slots_max,
                              .context = context,
                              .kv_bytes = params_.kv_bytes,
                              .workers = params_.server_model.size(),
                              .weights_bytes = on_device_.bytes};
        BITNETD_ASSIGN(const uint64_t pages,
                       kv_pages_on({device_->facts().memory_bytes, free_bytes_}, demand));
        kv_bytes_ = pages * layout_->page_bytes();
        BITNETD_ASSIGN(std::byte* const arena, device_->allocate(kv_bytes_));
        context_max_ = context_max_of(params_, weights_.header.context, pages * kPageTokens);
        cache_.emplace(*layout_, std::span(arena, kv_bytes_),
                       static_cast<uint32_t>(params_.worker_slots_max), context_max_,
                       KvCache::Grow{},
                       [this](std::byte* to, const std::byte* from, uint64_t bytes) {
                           engine_->copy_page(to, from, bytes);
                       });
        return {};
    }

    shm::ChildLink& link_;
    const Params& params_;
    const kernels::cuda::CudaKernels& kernels_;
    const uint32_t device_index_;
    const GpuProgram program_;
    WorkerSetup setup_;
    WeightsView weights_;  // in the segment
    std::unique_ptr<Device> device_;
    std::optional<DeviceMonitor> monitor_;
    DeviceWeights on_device_;
    std::optional<KvLayout> layout_;
    std::unique_ptr<GpuEngine> engine_;
    std::optional<KvCache> cache_;
    uint64_t free_bytes_ = 0;  // before the KV cache took its part
    uint64_t kv_bytes_ = 0;
    uint32_t context_max_ = 0;
    std::optional<StepLoop> loop_;
};

}  // namespace

std::unique_ptr<Worker> make_gpu_worker(shm::ChildLink& link, uint32_t device_index,
                                        const GpuProgram& program) {
    return std::make_unique<GpuWorker>(link, device_index, program);
}

}  // namespace bitnetd::worker
