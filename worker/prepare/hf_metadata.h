// config.json as the keys of a GGUF file of the same model (gguf.md section 5, safetensors.md
// section 2), and the one tensor that GGUF files have instead of a key.
#pragma once

#include <optional>
#include <vector>

#include "common/base/result.h"
#include "common/gguf/metadata.h"
#include "common/safetensors/hf_config.h"
#include "common/safetensors/hf_side_files.h"

namespace bitnetd::worker {

// Refuses settings that no key of the architecture says. One key is our own: {arch}.activation,
// "relu2" or "silu", of BitNet models.
Result<void> add_model_keys(const safetensors::ModelConfig& config,
                            std::optional<safetensors::Pooling> pooling, gguf::Metadata& out);

// rope_freqs.weight, head_dim / 2 numbers by which angles are divided; empty without Llama 3's
// scaling.
std::vector<float> rope_factors(const safetensors::ModelConfig& config);

}  // namespace bitnetd::worker
