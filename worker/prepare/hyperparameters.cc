#include "worker/prepare/hyperparameters.h"

#include <cmath>
#include <utility>

#include "common/base/quote.h"
#include "common/log/log.h"
#include "worker/prepare/model_keys.h"

namespace bitnetd::worker {
namespace {

std::string known_architectures() {
    std::string out;
    for (const Family* family : families_known()) {
        for (const std::string_view name : family->names)
            out += (out.empty() ? "" : ", ") + std::string(name);
    }
    return out;
}

Result<std::string> read_architecture(const gguf::Metadata& metadata) {
    constexpr std::string_view kKey = "general.architecture";
    BITNETD_ASSIGN(const std::string_view name, gguf::required(kKey, metadata.text(kKey)));
    if (find_family(name) == nullptr) {
        return unsupported("architecture " + quote(name) + " is not supported; this build runs " +
                           known_architectures());
    }
    return std::string(name);
}

// Settings that would change the result and that no forward pass here applies.
Result<void> refuse_unapplied(const ModelKeys& keys) {
    for (const std::string_view name : {"expert_count", "attn_logit_softcapping", "logit_scale"}) {
        if (keys.is_set(name)) {
            return unsupported("key " + keys.full(name) +
                               " asks for something this build does not do");
        }
    }
    BITNETD_ASSIGN(const bool causal, keys.flag("attention.causal", true));
    if (!causal) {
        return unsupported("key " + keys.full("attention.causal") +
                           " is false; only causal models are supported");
    }
    return {};
}

Result<void> read_heads(const ModelKeys& keys, Hyperparameters& out) {
    BITNETD_ASSIGN(out.heads, keys.count("attention.head_count", kHiddenMax));
    BITNETD_ASSIGN(out.kv_heads, keys.count("attention.head_count_kv", kHiddenMax, out.heads));
    if (out.heads % out.kv_heads != 0) {
        return invalid("key " + keys.full("attention.head_count") + " is " +
                       std::to_string(out.heads) + ", no multiple of head_count_kv " +
                       std::to_string(out.kv_heads));
    }
    std::optional<uint32_t> head_dim;
    if (out.hidden % out.heads == 0) head_dim = out.hidden / out.heads;
    BITNETD_ASSIGN(out.head_dim, keys.count("attention.key_length", kHeadDimMax, head_dim));
    BITNETD_ASSIGN(const uint32_t value_dim,
                   keys.count("attention.value_length", kHeadDimMax, out.head_dim));
    if (value_dim != out.head_dim || out.head_dim > kHeadDimMax) {
        return unsupported(
            "heads of " + std::to_string(out.head_dim) + " keys and " + std::to_string(value_dim) +
            " values are not supported; expected equal ones up to " + std::to_string(kHeadDimMax));
    }
    if (uint64_t{out.heads} * out.head_dim > kInputsMax) {
        return unsupported(std::to_string(out.heads) + " heads of " + std::to_string(out.head_dim) +
                           " are more than the " + std::to_string(kInputsMax) +
                           " inputs a product may have");
    }
    return {};
}

Result<void> read_shape(const ModelKeys& keys, Hyperparameters& out) {
    BITNETD_ASSIGN(out.layers, keys.count("block_count", kLayersMax));
    BITNETD_ASSIGN(out.hidden, keys.count("embedding_length", kHiddenMax));
    BITNETD_ASSIGN(out.ffn, keys.count("feed_forward_length", kInputsMax));
    BITNETD_ASSIGN(out.context, keys.count("context_length", kContextMax));
    return read_heads(keys, out);
}

Result<RopeScaling> read_yarn(const ModelKeys& keys, double factor, uint32_t context) {
    RopeScaling out{.type = RopeScaling::Type::kYarn, .factor = factor};
    BITNETD_ASSIGN(out.original_context, keys.number("rope.scaling.original_context_length",
                                                     static_cast<double>(context)));
    BITNETD_ASSIGN(out.ext_factor, keys.number("rope.scaling.yarn_ext_factor", -1.0));
    if (out.ext_factor < 0) out.ext_factor = 1;
    BITNETD_ASSIGN(const double attn_factor, keys.number("rope.scaling.attn_factor", 1.0));
    BITNETD_ASSIGN(out.attn_factor, keys.number("rope.scaling.yarn_attn_factor", attn_factor));
    BITNETD_ASSIGN(out.beta_fast, keys.number("rope.scaling.yarn_beta_fast", 32.0));
    BITNETD_ASSIGN(out.beta_slow, keys.number("rope.scaling.yarn_beta_slow", 1.0));
    if (out.original_context < 1 || out.attn_factor <= 0 || out.beta_slow <= 0 ||
        out.beta_fast <= out.beta_slow) {
        return invalid("keys " + keys.full("rope.scaling.*") +
                       ": expected a context of at least 1, a positive attention factor and "
                       "beta_fast above beta_slow above 0");
    }
    return out;
}

Result<RopeScaling> read_rope_scaling(const ModelKeys& keys, uint32_t context) {
    BITNETD_ASSIGN(const std::string_view type, keys.text("rope.scaling.type", "linear"));
    if (type == "none") return RopeScaling{};
    BITNETD_ASSIGN(const double old_factor, keys.number("rope.scale_linear", 0.0));
    BITNETD_ASSIGN(double factor, keys.number("rope.scaling.factor", old_factor));
    if (factor == 0) factor = 1;
    if (factor < 1) return invalid("key " + keys.full("rope.scaling.factor") + " is below 1");
    if (type == "yarn") return read_yarn(keys, factor, context);
    if (type != "linear") {
        return unsupported("key " + keys.full("rope.scaling.type") + " is " + quote(type) +
                           "; this build does 'linear', 'yarn' and 'none'");
    }
    if (factor == 1) return RopeScaling{};
    return RopeScaling{.type = RopeScaling::Type::kLinear, .factor = factor};
}

Result<void> read_rope(const ModelKeys& keys, Hyperparameters& out) {
    BITNETD_ASSIGN(out.rope_dims, keys.count("rope.dimension_count", kHeadDimMax, out.head_dim));
    if (out.rope_dims % 2 != 0 || out.rope_dims > out.head_dim) {
        return invalid("key " + keys.full("rope.dimension_count") + " is " +
                       std::to_string(out.rope_dims) + "; expected an even number up to " +
                       std::to_string(out.head_dim));
    }
    if (out.rope_table_bytes() > kRopeTableBytesMax) {
        return unsupported("a context of " + std::to_string(out.context) + " with " +
                           std::to_string(out.rope_dims) +
                           " rotated dimensions is too large for the rotary table");
    }
    BITNETD_ASSIGN(out.rope_base, keys.number("rope.freq_base", 10'000.0));
    BITNETD_ASSIGN(out.rope_base_windowed, keys.number("rope.freq_base_swa", 10'000.0));
    if (out.rope_base < 1 || out.rope_base_windowed < 1) {
        return invalid("key " + keys.full("rope.freq_base") + " or its _swa is below 1");
    }
    BITNETD_ASSIGN(out.rope_scaling, read_rope_scaling(keys, out.context));
    if (out.rope_scaling.type == RopeScaling::Type::kYarn && out.rope_base == 1) {
        return invalid("key " + keys.full("rope.freq_base") + " is 1, which yarn cannot scale");
    }
    return {};
}

// A window as long as the context hides nothing.
Result<void> read_window(const ModelKeys& keys, Hyperparameters& out) {
    BITNETD_ASSIGN(const auto window, keys.integer("attention.sliding_window", UINT32_MAX));
    if (!window || *window == 0 || *window >= out.context) return {};
    if (out.family->window_pattern == 0) {
        return unsupported("key " + keys.full("attention.sliding_window") + " is " +
                           std::to_string(*window) + ", but " + out.architecture +
                           " is computed without windows");
    }
    out.sliding_window = static_cast<uint32_t>(*window);
    BITNETD_ASSIGN(out.window_pattern, keys.count("attention.sliding_window_pattern", kLayersMax,
                                                  out.family->window_pattern));
    return {};
}

Result<float> read_attention_scale(const ModelKeys& keys, uint32_t head_dim) {
    constexpr std::string_view kName = "attention.scale";
    BITNETD_ASSIGN(const double scale, keys.number(kName, 0.0));
    if (scale < 0) return invalid("key " + keys.full(kName) + " is negative");
    if (scale > 0) return static_cast<float>(scale);
    return 1.0f / std::sqrt(static_cast<float>(head_dim));
}

Result<float> read_soft_cap(const ModelKeys& keys) {
    constexpr std::string_view kName = "final_logit_softcapping";
    BITNETD_ASSIGN(const double cap, keys.number(kName, 0.0));
    if (cap < 0) return invalid("key " + keys.full(kName) + " is negative");
    return static_cast<float>(cap);
}

Result<float> read_norm_eps(const ModelKeys& keys) {
    constexpr std::string_view kName = "attention.layer_norm_rms_epsilon";
    BITNETD_ASSIGN(const double eps, keys.number(kName));
    const auto out = static_cast<float>(eps);
    if (out > 0 && eps < 1) return out;
    return invalid("key " + keys.full(kName) + " is " + std::to_string(eps) +
                   "; expected a number between 0 and 1");
}

// Files named bitnet do not say which activation they were trained with. 1bitLLM's have SiLU; a
// 2B-4T that was converted under that name has ReLU^2, and its shape gives it away.
Result<shm::Activation> read_activation(const ModelKeys& keys, const Hyperparameters& model,
                                        const ModelOverrides& overrides) {
    using shm::Activation;
    const bool is_bitnet = model.family->is_ternary;
    BITNETD_ASSIGN(const std::string_view named, keys.text("activation", ""));
    Activation activation = model.family->activation;
    if (is_bitnet && model.layers == 30 && model.hidden == 2560) activation = Activation::kRelu2;
    if (is_bitnet && named == "relu2") activation = Activation::kRelu2;
    if (is_bitnet && named == "silu") activation = Activation::kSilu;
    if (is_bitnet && overrides.activation) activation = *overrides.activation;
    if (is_bitnet) {
        log::info("activation_chosen",
                  {{"activation", activation == Activation::kRelu2 ? "relu2" : "silu"},
                   {"by", overrides.activation ? "setting"
                          : named.empty()      ? "shape"
                                               : "key"}});
    }
    return activation;
}

Result<shm::Pooling> read_pooling(const ModelKeys& keys, const ModelOverrides& overrides) {
    if (overrides.pooling) return *overrides.pooling;
    BITNETD_ASSIGN(const auto found, keys.integer("pooling_type", UINT32_MAX));
    switch (found.value_or(0)) {
        case 0:
            return shm::Pooling::kNone;
        case 1:
            return shm::Pooling::kMean;
        case 3:
            return shm::Pooling::kLast;
        default:
            return unsupported("key " + keys.full("pooling_type") + " is " +
                               std::to_string(*found) +
                               "; this build pools by 1 (mean) and 3 (last)");
    }
}

}  // namespace

Result<ModelOverrides> parse_overrides(std::string_view activation, std::string_view pooling,
                                       std::string_view output_screen) {
    ModelOverrides out;
    if (activation == "silu") out.activation = shm::Activation::kSilu;
    if (activation == "relu2") out.activation = shm::Activation::kRelu2;
    if (!out.activation && activation != "auto") {
        return invalid("activation " + quote(activation) + ": expected auto, silu or relu2");
    }
    if (pooling == "none") out.pooling = shm::Pooling::kNone;
    if (pooling == "mean") out.pooling = shm::Pooling::kMean;
    if (pooling == "last") out.pooling = shm::Pooling::kLast;
    if (!out.pooling && pooling != "auto") {
        return invalid("pooling " + quote(pooling) + ": expected auto, none, mean or last");
    }
    if (output_screen == "on") out.output_screen = true;
    if (output_screen == "off") out.output_screen = false;
    if (!out.output_screen && output_screen != "auto") {
        return invalid("output screen " + quote(output_screen) + ": expected auto, on or off");
    }
    return out;
}

Result<void> check_architecture(const gguf::Metadata& metadata) {
    BITNETD_ASSIGN(const auto kind, metadata.text("general.type"));
    if (kind && *kind != "model") {
        return unsupported("key general.type is " + quote(*kind) + "; expected 'model'");
    }
    auto name = read_architecture(metadata);
    if (!name) return std::move(name).error();
    return {};
}

Result<Hyperparameters> read_hyperparameters(const gguf::Metadata& metadata, uint32_t vocab,
                                             const ModelOverrides& overrides) {
    Hyperparameters out;
    BITNETD_ASSIGN(out.architecture, read_architecture(metadata));
    out.family = find_family(out.architecture);
    const ModelKeys keys(metadata, out.architecture);
    BITNETD_TRY(refuse_unapplied(keys));
    BITNETD_TRY(read_shape(keys, out));
    BITNETD_TRY(read_rope(keys, out));
    BITNETD_TRY(read_window(keys, out));
    BITNETD_ASSIGN(out.norm_eps, read_norm_eps(keys));
    BITNETD_ASSIGN(out.attention_scale, read_attention_scale(keys, out.head_dim));
    BITNETD_ASSIGN(out.logit_soft_cap, read_soft_cap(keys));
    BITNETD_ASSIGN(out.activation, read_activation(keys, out, overrides));
    BITNETD_ASSIGN(out.pooling, read_pooling(keys, overrides));
    if (out.family->scales_embedding)
        out.embedding_scale = std::sqrt(static_cast<float>(out.hidden));
    BITNETD_ASSIGN(out.vocab, keys.count("vocab_size", UINT32_MAX, vocab));
    if (out.vocab != vocab) {
        return invalid("key " + keys.full("vocab_size") + " is " + std::to_string(out.vocab) +
                       ", but the vocabulary has " + std::to_string(vocab) + " tokens");
    }
    return out;
}

}  // namespace bitnetd::worker
