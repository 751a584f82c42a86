// A packed model as bitnetd-worker computes it: the real engine, pool and KV cache. One thread
// drives it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "common/config/kv_type.h"
#include "shm/segment/segment.h"
#include "tests/support/bench/model_runner.h"
#include "worker/kernels/kernel_api.h"
#include "worker/model/transformer_engine.h"
#include "worker/model/weights_view.h"

namespace bitnetd::bench {

class CpuModel {
  public:
    struct Options {
        const kernels::KernelTable& kernels;
        worker::ThreadPool& pool;
        KvType kv_type;
        worker::BlockInputs block_inputs;
        worker::Bf16Inputs bf16_inputs;
        uint32_t step_tokens;  // rows of a step at most
        uint32_t sequences;    // at once
        uint32_t positions;    // of each, at most
    };
    // `weights` and what the options point to outlive the model.
    static Result<std::unique_ptr<CpuModel>> create(std::span<const std::byte> weights,
                                                    const Options& options);

    ModelRunner& runner() { return *runner_; }
    // From how many rows on each way to compute ternary products is used, as create() measured.
    const std::string& ternary_ways() const { return ternary_ways_; }

  private:
    CpuModel() = default;

    worker::WeightsView weights_;
    std::string ternary_ways_;
    shm::Segment arena_;
    std::unique_ptr<worker::KvCache> cache_;
    std::unique_ptr<worker::TransformerEngine> engine_;
    std::optional<ModelRunner> runner_;
};

}  // namespace bitnetd::bench
