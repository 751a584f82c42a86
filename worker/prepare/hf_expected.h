// The tensors that a checkpoint of a given configuration consists of, by the names that GGUF gives
// them. Made from config.json; every tensor found is compared with it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/quant/quant_types.h"
#include "common/safetensors/hf_config.h"

namespace bitnetd::worker {

enum class HfRole : uint8_t {
    kTable,       // embedding, output matrix
    kProjection,  // the matrices that ternary models have ternary
    kBias,
    kNorm,
    kInputNorm,  // of one projection: never the 1 + w form of gemma3
};

struct ExpectedTensor {
    std::string name;    // "blk.3.attn_q.weight"
    quant::Shape shape;  // a vector is one row
    HfRole role{};
    bool required = true;
};

// In the order in which GGUF files have them.
std::vector<ExpectedTensor> expected_tensors(const safetensors::ModelConfig& config);

}  // namespace bitnetd::worker
