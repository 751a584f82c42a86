// Rows and greedy draws as the step loop makes them, without the processes around it: drives an
// engine and a KV cache, of a CPU (cpu_model.h) or a GPU (gpu_model.h). One thread drives it.
#pragma once

#include <cstdint>
#include <vector>

#include "common/base/result.h"
#include "shm/abi/weights_abi.h"
#include "worker/kv/kv_cache.h"
#include "worker/model/engine.h"

namespace bitnetd::bench {

class ModelRunner {
  public:
    // All of them outlive the runner; the cache's arena has arena_bytes().
    struct Parts {
        worker::Engine& engine;
        worker::KvCache& cache;
        const shm::WeightsHeader& model;
        uint32_t step_tokens;  // rows of a step at most
        uint32_t sequences;    // at once
        uint32_t positions;    // of each, at most
    };
    explicit ModelRunner(const Parts& parts);

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

  private:
    void add_row(uint32_t sequence, uint32_t position);
    void add_draw(uint32_t sequence);
    // Computes the rows there are, and puts what was drawn behind the sequences.
    Result<void> step();

    Parts parts_;
    worker::SamplingParams greedy_{.temperature = 0};

    std::vector<std::vector<uint32_t>> ids_;  // of each sequence
    uint32_t prompt_ids_ = 0;
    std::vector<worker::Row> rows_;
    std::vector<worker::Draw> draws_;
    std::vector<uint32_t> drawing_;     // the sequence of each draw
    std::vector<worker::Drawn> drawn_;  // [sequences]
};

// Memory for the keys and values of so many sequences; kInvalid where the model's context is less.
Result<uint64_t> arena_bytes(const worker::KvLayout& layout, const shm::WeightsHeader& model,
                             uint32_t sequences, uint32_t positions);

}  // namespace bitnetd::bench
