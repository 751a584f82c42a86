// quantization_config of ternary checkpoints, and what the numbers in them stand for.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/safetensors/strict_json.h"

namespace bitnetd::safetensors {

// Decides the direction of weight_scale; the number itself does not tell.
enum class LinearClass : uint8_t {
    kBitLinear,      // weight = digit / weight_scale
    kAutoBitLinear,  // weight = digit * weight_scale
};

enum class QuantizationMode : uint8_t {
    kOffline,  // weights are packed U8 [rows / 4][columns] with a weight_scale each
    kOnline,   // weights are masters, ternarised at load (common/quant/absmean.h)
};

struct Quantization {
    LinearClass linear_class = LinearClass::kBitLinear;
    QuantizationMode mode = QuantizationMode::kOffline;
    // A linear layer whose name contains one of these is left as it is.
    std::vector<std::string> modules_to_not_convert = {"lm_head"};
    bool use_rms_norm = false;  // each ternary layer has a norm of its own at its input
    double rms_norm_eps = 1e-6;

    // For "model.layers.0.self_attn.q_proj", without ".weight".
    bool converts(std::string_view linear_layer) const;
};

Result<Quantization> parse_quantization(const Fields& quantization_config);

// The magnitude of a packed layer's weights from its weight_scale, which must be finite and above
// 0.
Result<float> weight_magnitude(LinearClass linear_class, float weight_scale);

}  // namespace bitnetd::safetensors
