// Which tensor of a checkpoint is which of a GGUF file, and what is done to its numbers on the way.
// Everything is checked against config.json here; no tensor data is read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/safetensors/hf_config.h"
#include "worker/prepare/hf_directory.h"
#include "worker/prepare/model_input.h"

namespace bitnetd::worker {

// Bytes in one of the checkpoint's files.
struct HfPlace {
    size_t file = 0;      // index in HfDirectory::Weights
    uint64_t offset = 0;  // from the start of the file
    quant::Type type{};   // F32, F16, BF16, or packed U8
};

struct HfTensor {
    ModelTensor tensor;
    std::string hf_name;  // "" when computed
    HfPlace place;
    // Of packed matrices: the number weight_scale.
    std::optional<HfPlace> scale;
    // Not 0: rows, of a bias elements, are given in GGUF's order (row_permutation.h).
    uint64_t permuted_head_dim = 0;
    bool plus_one = false;      // gemma3's norms: GGUF has w + 1, as F32
    std::vector<float> values;  // not empty: computed, one row of F32
};

// Every expected tensor once, in the order of GGUF files. The error names file, tensor,
// expectation and what was found.
Result<std::vector<HfTensor>> map_tensors(const HfDirectory::Weights& weights,
                                          const safetensors::ModelConfig& config);

}  // namespace bitnetd::worker
