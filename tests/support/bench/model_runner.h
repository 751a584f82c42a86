// Runs a packed model as a worker does, without the processes around it: the real engine, pool and
// KV cache, rows and greedy draws as the step loop makes them. One thread drives it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/config/kv_type.h"
#include "shm/segment/segment.h"
#include "worker/kernels/kernel_api.h"
#include "worker/kv/kv_cache.h"
#include "worker/model/transformer_engine.h"
#include "worker/model/weights_view.h"

namespace bitnetd::bench {

class ModelRunner {
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
    // `weights` and what the options point to outlive the runner.
    static Result<std::unique_ptr<ModelRunner>> create(std::span<const std::byte> weights,
                                                       const Options& options);

    // Forgets all sequences and begins `count` of them, of `ids` random ids each.
    void begin(uint32_t count, uint32_t ids);
    // Computes what has not been, in as few steps as the limit allows, and draws one id for each
    // sequence: afterwards one id of each has not been computed.
    Result<void> prefill();
    // `steps` times: computes the last id of each sequence and draws its next.
    Result<void> decode(uint32_t steps);
    // The same rows once more without any draw: what the layers alone take. Of the last `steps`.
    void repeat_layers(uint32_t steps);
    // Takes the last `count` ids of each sequence back.
    void rewind(uint32_t count);
    // From how many rows on each way to compute ternary products is used, as create() measured.
    const std::string& ternary_ways() const { return ternary_ways_; }

  private:
    explicit ModelRunner(const Options& options) : options_(options) {}

    void add_row(uint32_t sequence, uint32_t position);
    void add_draw(uint32_t sequence);
    // Computes the rows there are, and puts what was drawn behind the sequences.
    Result<void> step();

    Options options_;
    worker::WeightsView weights_;
    std::string ternary_ways_;
    shm::Segment arena_;
    std::unique_ptr<worker::KvCache> cache_;
    std::unique_ptr<worker::TransformerEngine> engine_;
    worker::SamplingParams greedy_{.temperature = 0};

    std::vector<std::vector<uint32_t>> ids_;  // of each sequence
    uint32_t prompt_ids_ = 0;
    std::vector<worker::Row> rows_;
    std::vector<worker::Draw> draws_;
    std::vector<uint32_t> drawing_;     // the sequence of each draw
    std::vector<worker::Drawn> drawn_;  // [sequences]
};

}  // namespace bitnetd::bench
