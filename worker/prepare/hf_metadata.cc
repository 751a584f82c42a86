#include "worker/prepare/hf_metadata.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <string_view>

#include "common/base/portable_math.h"
#include "worker/prepare/hf_keys.h"

namespace bitnetd::worker {
namespace {

using safetensors::Activation;
using safetensors::Family;
using safetensors::ModelConfig;
using safetensors::RopeScaling;
using safetensors::RopeStretch;

// Keys of one architecture. All sizes were bounded by parse_model_config().
class Keys {
  public:
    Keys(gguf::Metadata& out, std::string_view architecture)
        : out_(out), prefix_(std::string(architecture) + ".") {}

    void count(std::string_view name, uint64_t value) {
        put_u32(out_, full(name), static_cast<uint32_t>(value));
    }
    void number(std::string_view name, double value) { put_f32(out_, full(name), value); }
    void text(std::string_view name, std::string value) {
        put_text(out_, full(name), std::move(value));
    }

  private:
    std::string full(std::string_view name) const { return prefix_ + std::string(name); }

    gguf::Metadata& out_;
    std::string prefix_;
};

std::string_view name_of(Activation activation) {
    switch (activation) {
        case Activation::kSilu:
            return "silu";
        case Activation::kRelu2:
            return "relu2";
        case Activation::kGeluTanh:
            return "gelu_pytorch_tanh";
    }
    return "unknown";
}

// What follows from the architecture is no key: it must be as the architecture has it.
Result<void> add_activation(const ModelConfig& config, Keys& keys) {
    const bool bitnet = config.family == Family::kBitNet || config.family == Family::kBitnet1;
    if (bitnet && config.activation != Activation::kGeluTanh) {
        keys.text("activation", std::string(name_of(config.activation)));
        return {};
    }
    const Activation expected =
        config.family == Family::kGemma3 ? Activation::kGeluTanh : Activation::kSilu;
    if (!bitnet && config.activation == expected) return {};
    return unsupported("config.json: hidden_act is '" + std::string(name_of(config.activation)) +
                       "'; models of class " + config.architecture + " are computed with " +
                       (bitnet ? "'relu2' or 'silu'" : "'" + std::string(name_of(expected)) + "'"));
}

void add_sizes(const ModelConfig& config, Keys& keys) {
    keys.count("block_count", config.layers);
    keys.count("context_length", config.context_length);
    keys.count("embedding_length", config.hidden_size);
    keys.count("feed_forward_length", config.intermediate_size);
    keys.count("vocab_size", config.vocab_size);
    keys.count("attention.head_count", config.heads);
    keys.count("attention.head_count_kv", config.kv_heads);
    keys.count("attention.key_length", config.head_dim);
    keys.count("attention.value_length", config.head_dim);
    keys.number("attention.layer_norm_rms_epsilon", config.rms_norm_eps);
    const auto head_dim = static_cast<double>(config.head_dim);
    if (config.query_scalar != head_dim) {
        keys.number("attention.scale", 1 / std::sqrt(config.query_scalar));
    }
    if (config.final_logit_softcapping) {
        keys.number("final_logit_softcapping", *config.final_logit_softcapping);
    }
}

void add_rope(const ModelConfig& config, Keys& keys) {
    const RopeScaling& scaling = config.rope_scaling;
    keys.count("rope.dimension_count", config.head_dim);
    keys.number("rope.freq_base", config.rope_theta);
    if (scaling.stretch == RopeStretch::kLinear) {
        keys.text("rope.scaling.type", "linear");
        keys.number("rope.scaling.factor", scaling.factor);
    }
    if (scaling.stretch != RopeStretch::kYarn) return;
    keys.text("rope.scaling.type", "yarn");
    keys.number("rope.scaling.factor", scaling.factor);
    keys.count("rope.scaling.original_context_length",
               scaling.original_context.value_or(config.context_length));
    keys.number("rope.scaling.yarn_beta_fast", scaling.beta_fast);
    keys.number("rope.scaling.yarn_beta_slow", scaling.beta_slow);
    if (!scaling.attention_factor) return;
    // GGUF's readers multiply by the usual factor as well.
    keys.number("rope.scaling.attn_factor",
                *scaling.attention_factor / (1 + 0.1 * portable::log(scaling.factor)));
}

// GGUF has a period: the last layer of each `period` sees everything.
Result<void> add_windows(const ModelConfig& config, Keys& keys) {
    const auto& windowed = config.windowed;
    const auto whole = std::find(windowed.begin(), windowed.end(), false);
    if (std::find(windowed.begin(), windowed.end(), true) == windowed.end()) return {};
    const uint64_t period = static_cast<uint64_t>(whole - windowed.begin()) + 1;
    for (size_t i = 0; i < windowed.size(); ++i) {
        if (windowed[i] != ((i + 1) % period != 0)) {
            return unsupported("config.json: layer_types does not repeat every " +
                               std::to_string(period) + " layers; layer " + std::to_string(i) +
                               " differs");
        }
    }
    keys.count("attention.sliding_window", *config.sliding_window);
    keys.count("attention.sliding_window_pattern", period);
    keys.number("rope.freq_base_swa", config.rope_theta_windowed);
    return {};
}

}  // namespace

Result<void> add_model_keys(const ModelConfig& config, std::optional<safetensors::Pooling> pooling,
                            gguf::Metadata& out) {
    const std::string_view architecture = safetensors::gguf_architecture(config.family);
    put_text(out, "general.architecture", std::string(architecture));
    if (!config.name.empty()) put_text(out, "general.name", config.name);
    Keys keys(out, architecture);
    BITNETD_TRY(add_activation(config, keys));
    add_sizes(config, keys);
    add_rope(config, keys);
    BITNETD_TRY(add_windows(config, keys));
    if (pooling) keys.count("pooling_type", static_cast<uint64_t>(*pooling));
    return {};
}

std::vector<float> rope_factors(const ModelConfig& config) {
    const RopeScaling& scaling = config.rope_scaling;
    if (scaling.stretch != RopeStretch::kLlama3) return {};
    const auto context = static_cast<double>(*scaling.original_context);
    const double low = scaling.low_frequency_factor;
    const double high = scaling.high_frequency_factor;
    std::vector<float> out(config.head_dim / 2);
    for (size_t pair = 0; pair < out.size(); ++pair) {
        const double exponent =
            2 * static_cast<double>(pair) / static_cast<double>(config.head_dim);
        const double wavelength = 2 * std::numbers::pi * portable::pow(config.rope_theta, exponent);
        double factor = 1;
        if (wavelength > context / low) {
            factor = scaling.factor;
        } else if (wavelength >= context / high) {
            const double smooth = (context / wavelength - low) / (high - low);
            factor = 1 / ((1 - smooth) / scaling.factor + smooth);
        }
        out[pair] = static_cast<float>(factor);
    }
    return out;
}

}  // namespace bitnetd::worker
