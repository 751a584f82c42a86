#include "common/safetensors/hf_quantization.h"

#include <algorithm>
#include <cmath>

#include "common/base/quote.h"

namespace bitnetd::safetensors {

bool Quantization::converts(std::string_view linear_layer) const {
    return std::none_of(
        modules_to_not_convert.begin(), modules_to_not_convert.end(),
        [&](const std::string& part) { return linear_layer.find(part) != std::string_view::npos; });
}

Result<Quantization> parse_quantization(const Fields& fields) {
    std::string method;
    std::string linear_class = "bitlinear";
    std::string mode = "offline";
    Quantization out;
    BITNETD_FIELD(method, fields.text("quant_method"));
    BITNETD_FIELD(linear_class, fields.text("linear_class"));
    BITNETD_FIELD(mode, fields.text("quantization_mode"));
    BITNETD_FIELD(out.modules_to_not_convert, fields.texts("modules_to_not_convert"));
    BITNETD_FIELD(out.use_rms_norm, fields.boolean("use_rms_norm"));
    BITNETD_FIELD(out.rms_norm_eps, fields.number("rms_norm_eps", 0, 1));
    if (method != "bitnet") {
        return unsupported("quantization_config.quant_method is " + quote(method) +
                           "; only 'bitnet' can be read");
    }
    if (linear_class != "bitlinear" && linear_class != "autobitlinear") {
        return unsupported("quantization_config.linear_class is " + quote(linear_class) +
                           "; expected 'bitlinear' or 'autobitlinear'");
    }
    if (mode != "offline" && mode != "online") {
        return unsupported("quantization_config.quantization_mode is " + quote(mode) +
                           "; expected 'offline' or 'online'");
    }
    if (linear_class == "autobitlinear") out.linear_class = LinearClass::kAutoBitLinear;
    if (mode == "online") out.mode = QuantizationMode::kOnline;
    const auto& names = out.modules_to_not_convert;
    if (std::find(names.begin(), names.end(), "") != names.end()) {
        return invalid("quantization_config.modules_to_not_convert holds an empty name");
    }
    return out;
}

Result<float> weight_magnitude(LinearClass linear_class, float weight_scale) {
    const float magnitude =
        linear_class == LinearClass::kAutoBitLinear ? weight_scale : 1.0f / weight_scale;
    if (weight_scale > 0 && std::isfinite(weight_scale) && std::isfinite(magnitude)) {
        return magnitude;
    }
    return invalid("weight_scale is " + std::to_string(weight_scale) +
                   "; it must be finite and above 0");
}

}  // namespace bitnetd::safetensors
