#include "common/safetensors/rope_config.h"

#include "common/base/quote.h"

namespace bitnetd::safetensors {
namespace {

constexpr double kThetaMax = 1e12;
constexpr double kFactorMax = 1e6;
constexpr double kWindowedTheta = 10000;

Result<double> theta_of(const Fields& fields, std::string_view key, double otherwise) {
    double theta = otherwise;
    BITNETD_FIELD(theta, fields.number(key, 1, kThetaMax));
    return theta;
}

Result<RopeScaling> parse_scaling(const Fields& fields) {
    std::string type = "default";
    BITNETD_FIELD(type, fields.text("type"));  // the older word
    BITNETD_FIELD(type, fields.text("rope_type"));
    RopeScaling out;
    if (type == "default") return out;
    if (type == "linear") {
        out.stretch = RopeStretch::kLinear;
    } else if (type == "llama3") {
        out.stretch = RopeStretch::kLlama3;
        out.factor = 8;
    } else if (type == "yarn") {
        out.stretch = RopeStretch::kYarn;
    } else {
        return unsupported("rope_scaling of type " + quote(type) +
                           " is not one that can be computed");
    }
    BITNETD_FIELD(out.factor, fields.number("factor", 1, kFactorMax));
    BITNETD_FIELD(out.low_frequency_factor, fields.number("low_freq_factor", 1e-3, kFactorMax));
    BITNETD_FIELD(out.high_frequency_factor, fields.number("high_freq_factor", 1e-3, kFactorMax));
    BITNETD_FIELD(out.beta_fast, fields.number("beta_fast", 1e-3, kFactorMax));
    BITNETD_FIELD(out.beta_slow, fields.number("beta_slow", 1e-3, kFactorMax));
    BITNETD_FIELD(out.attention_factor, fields.number("attention_factor", 1e-3, kFactorMax));
    BITNETD_FIELD(out.original_context,
                  fields.integer("original_max_position_embeddings", 1, 1u << 24));
    if (out.stretch == RopeStretch::kLlama3) {
        if (!out.original_context) out.original_context = 8192;
        if (out.high_frequency_factor <= out.low_frequency_factor) {
            return fields.wrong("high_freq_factor", "more than low_freq_factor");
        }
    }
    return out;
}

}  // namespace

Result<void> parse_rope(const Fields& fields, ModelConfig& out) {
    BITNETD_ASSIGN(out.rope_theta, theta_of(fields, "rope_theta", out.rope_theta));
    BITNETD_ASSIGN(out.rope_theta_windowed,
                   theta_of(fields, "rope_local_base_freq", kWindowedTheta));
    BITNETD_ASSIGN(const auto scaling, fields.object("rope_scaling"));
    if (scaling) {
        BITNETD_ASSIGN(out.rope_scaling, parse_scaling(*scaling));
    }
    BITNETD_ASSIGN(const auto parameters, fields.object("rope_parameters"));
    if (!parameters) return {};
    BITNETD_ASSIGN(const auto windowed, parameters->object("sliding_attention"));
    if (windowed) {
        BITNETD_ASSIGN(out.rope_theta_windowed,
                       theta_of(*windowed, "rope_theta", out.rope_theta_windowed));
    }
    BITNETD_ASSIGN(const auto full, parameters->object("full_attention"));
    const Fields& all = full ? *full : *parameters;
    BITNETD_ASSIGN(out.rope_theta, theta_of(all, "rope_theta", out.rope_theta));
    if (!scaling) {
        BITNETD_ASSIGN(out.rope_scaling, parse_scaling(all));
    }
    return {};
}

}  // namespace bitnetd::safetensors
