// The rotary part of config.json: rope_theta and rope_scaling, or both as rope_parameters in newer
// files, there per kind of layer for gemma3. Internal to common/safetensors.
#pragma once

#include "common/base/result.h"
#include "common/safetensors/hf_config.h"

namespace bitnetd::safetensors {

// Sets rope_theta (holds its default), rope_theta_windowed and rope_scaling.
Result<void> parse_rope(const Fields& fields, ModelConfig& out);

}  // namespace bitnetd::safetensors
