// prepare: the files of a model become what the other processes map. open() validates everything
// that needs no tensor data and builds the vocabulary image; pack() checks the tensor data while it
// packs it; what was packed is then measured (accuracy_check.h). Runs in the loader process
// (worker/main_loader.cc) and in tests; holds neither the files nor the packed weights in memory of
// its own. Nothing of the file format gets past this folder.
//
//   files -> open_model -> vocabulary_from_gguf -------------------> vocabulary image
//                       -> hyperparameters -> weights_plan -> pack_weights -> weights segment
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/base/result.h"
#include "common/quant/accuracy_minima.h"
#include "shm/abi/control_abi.h"
#include "worker/model/weights_view.h"
#include "worker/prepare/hyperparameters.h"
#include "worker/prepare/model_input.h"
#include "worker/prepare/pack_weights.h"
#include "worker/prepare/weights_plan.h"

namespace bitnetd::worker {

// How the accuracy of packed weights is judged, and how workers will compute with them.
struct AccuracyOptions {
    quant::AccuracyMinima minima;
    BlockInputs block_inputs = BlockInputs::kInt8;
    Bf16Inputs bf16_inputs = Bf16Inputs::kFloat;
    std::string kernel_isa = "auto";              // the kernel table to prefer
    const kernels::KernelTable* table = nullptr;  // where it was chosen already
};

// What an operator may say about a model beside its files.
struct PrepareOptions {
    LayoutOptions layout;
    ModelOverrides overrides;
    AccuracyOptions accuracy;
    bool huge_pages = true;  // for the packed weights, where the kernel gives them
};

class Preparation {
  public:
    static Result<Preparation> open(std::vector<NamedSource> files, const PrepareOptions& options);
    static Result<Preparation> open(std::unique_ptr<ModelInput> input,
                                    const ModelOverrides& overrides);

    std::span<const std::byte> vocabulary() const { return vocabulary_; }
    uint64_t weights_bytes() const { return plan_.segment_bytes; }
    ModelInput& input() const { return *input_; }
    const Hyperparameters& model() const { return model_; }
    const WeightsPlan& plan() const { return plan_; }

    // Fills weights_bytes() of zeroed memory, aligned to shm::kTensorAlignment, on all threads of
    // the pool; without one, on the calling thread.
    Result<void> pack(std::span<std::byte> segment, const PercentSink& percent,
                      ThreadPool* pool = nullptr) const;

    // What the supervisor tells others about the model, from a segment that pack() filled.
    shm::ModelFacts facts(std::span<const std::byte> segment) const;

  private:
    explicit Preparation(std::unique_ptr<ModelInput> input) : input_(std::move(input)) {}

    std::unique_ptr<ModelInput> input_;
    std::vector<std::byte> vocabulary_;
    std::vector<uint32_t> end_ids_;
    Hyperparameters model_;
    WeightsPlan plan_;  // points into input_
};

}  // namespace bitnetd::worker
