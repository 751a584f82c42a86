// prepare: a model file becomes what the other processes map. open() validates everything that
// needs no tensor data and builds the vocabulary image; pack() checks the tensor data while it
// packs it. Runs in the loader process (worker/main_loader.cc) and in tests; holds neither the file
// nor the packed weights in memory of its own. Nothing of the file format gets past this folder.
//
//   file -> gguf::read -> vocabulary_from_gguf -----------------> vocabulary image
//                      -> hyperparameters -> weights_plan -> pack_weights -> weights segment
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/base/result.h"
#include "common/gguf/gguf_reader.h"
#include "shm/abi/control_abi.h"
#include "worker/prepare/hyperparameters.h"
#include "worker/prepare/pack_weights.h"
#include "worker/prepare/weights_plan.h"

namespace bitnetd::worker {

class Preparation {
  public:
    // `source` must outlive the result.
    static Result<Preparation> open(Source& source);

    std::span<const std::byte> vocabulary() const { return vocabulary_; }
    uint64_t weights_bytes() const { return plan_.segment_bytes; }
    const Hyperparameters& model() const { return model_; }

    // Fills weights_bytes() of zeroed memory, aligned to shm::kTensorAlignment.
    Result<void> pack(std::span<std::byte> segment, const PercentSink& percent) const;

    // What the supervisor tells others about the model, from a segment that pack() filled.
    shm::ModelFacts facts(std::span<const std::byte> segment) const;

  private:
    Preparation(Source& source, gguf::File file) : source_(&source), file_(std::move(file)) {}

    Source* source_;
    gguf::File file_;
    std::vector<std::byte> vocabulary_;
    std::vector<uint32_t> end_ids_;
    Hyperparameters model_;
    WeightsPlan plan_;  // points into file_.tensors, whose elements stay where they are when moved
};

}  // namespace bitnetd::worker
