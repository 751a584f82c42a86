#include "common/safetensors/tensor_names.h"

#include <charconv>

namespace bitnetd::safetensors {
namespace {

constexpr uint64_t kLayersMax = 512;

struct Name {
    std::string_view hf;
    std::string_view gguf;
};

constexpr Name kOutsideLayers[] = {
    {"embed_tokens.weight", "token_embd.weight"},
    {"norm.weight", "output_norm.weight"},
};

// Matrices, which may have a bias, a scale and a norm of their own input.
constexpr Name kProjections[] = {
    {"self_attn.q_proj", "attn_q"}, {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"}, {"self_attn.o_proj", "attn_output"},
    {"mlp.gate_proj", "ffn_gate"},  {"mlp.up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},
};

constexpr Name kNorms[] = {
    {"input_layernorm", "attn_norm"},
    {"self_attn.q_norm", "attn_q_norm"},
    {"self_attn.k_norm", "attn_k_norm"},
    {"self_attn.attn_sub_norm", "attn_sub_norm"},
    {"self_attn.inner_attn_ln", "attn_sub_norm"},
    {"mlp.ffn_sub_norm", "ffn_sub_norm"},
    {"mlp.ffn_layernorm", "ffn_sub_norm"},
};
constexpr Name kNormsBeforeFfn[] = {{"post_attention_layernorm", "ffn_norm"}};
// gemma3 norms what a part of the layer gives, too, and uses the word in its own sense.
constexpr Name kNormsGemma3[] = {
    {"post_attention_layernorm", "post_attention_norm"},
    {"pre_feedforward_layernorm", "ffn_norm"},
    {"post_feedforward_layernorm", "post_ffw_norm"},
};

constexpr std::string_view kWeight = ".weight";

// What follows a projection's name.
std::optional<TensorName> projection_part(const Name& projection, std::string_view ending,
                                          const std::string& block, bool llama) {
    const std::string name = block + std::string(projection.gguf);
    const bool rotated = projection.gguf == "attn_q" || projection.gguf == "attn_k";
    const bool permuted = llama && rotated;
    if (ending == kWeight) return TensorName{name + ".weight", Part::kItself, permuted};
    if (ending == ".bias") return TensorName{name + ".bias", Part::kItself, permuted};
    if (ending == ".weight_scale") return TensorName{name + ".weight", Part::kWeightScale, false};
    if (ending == ".norm.weight" || ending == ".rms_norm.weight") {
        return TensorName{name + "_norm_in.weight", Part::kItself, false};
    }
    return std::nullopt;
}

template <size_t count>
std::optional<TensorName> find_norm(const Name (&norms)[count], std::string_view name,
                                    const std::string& block) {
    for (const Name& norm : norms) {
        if (!name.starts_with(norm.hf) || name.substr(norm.hf.size()) != kWeight) continue;
        return TensorName{block + std::string(norm.gguf) + ".weight", Part::kItself, false};
    }
    return std::nullopt;
}

std::optional<TensorName> in_layer(std::string_view name, const std::string& block, Family family) {
    if (name == "self_attn.rotary_emb.inv_freq") return TensorName{"", Part::kIgnored, false};
    for (const Name& projection : kProjections) {
        if (!name.starts_with(projection.hf)) continue;
        return projection_part(projection, name.substr(projection.hf.size()), block,
                               family == Family::kLlama);
    }
    if (auto found = find_norm(kNorms, name, block)) return found;
    if (family == Family::kGemma3) return find_norm(kNormsGemma3, name, block);
    return find_norm(kNormsBeforeFfn, name, block);
}

// The layer of "layers.3.", "blk.3." and the like, which is cut off together with `prefix`.
std::optional<uint64_t> take_layer(std::string_view prefix, std::string_view& name) {
    if (!name.starts_with(prefix)) return std::nullopt;
    std::string_view rest = name.substr(prefix.size());
    uint64_t layer = 0;
    const auto [at, error] = std::from_chars(rest.data(), rest.data() + rest.size(), layer);
    const auto digits = static_cast<size_t>(at - rest.data());
    if (error != std::errc() || layer >= kLayersMax || digits == rest.size() || *at != '.' ||
        (digits > 1 && rest.front() == '0')) {
        return std::nullopt;
    }
    name = rest.substr(digits + 1);
    return layer;
}

// The checkpoint's name for "attn_q" and the like; of several the first.
template <size_t count>
std::string_view hf_part(const Name (&names)[count], std::string_view gguf) {
    for (const Name& name : names) {
        if (name.gguf == gguf) return name.hf;
    }
    return {};
}

std::string_view hf_norm(std::string_view gguf, Family family) {
    // 1bitLLM's own words for the norms inside a block.
    if (family == Family::kBitnet1 && gguf == "attn_sub_norm") return "self_attn.inner_attn_ln";
    if (family == Family::kBitnet1 && gguf == "ffn_sub_norm") return "mlp.ffn_layernorm";
    if (const auto found = hf_part(kNorms, gguf); !found.empty()) return found;
    if (family == Family::kGemma3) return hf_part(kNormsGemma3, gguf);
    return hf_part(kNormsBeforeFfn, gguf);
}

}  // namespace

std::optional<TensorName> find_gguf_name(std::string_view hf_name, Family family) {
    if (hf_name == "lm_head.weight") return TensorName{"output.weight", Part::kItself, false};
    constexpr std::string_view kModel = "model.";
    if (hf_name.starts_with(kModel)) hf_name.remove_prefix(kModel.size());
    for (const Name& known : kOutsideLayers) {
        if (hf_name == known.hf) return TensorName{std::string(known.gguf), Part::kItself, false};
    }
    const auto layer = take_layer("layers.", hf_name);
    if (!layer) return std::nullopt;
    return in_layer(hf_name, "blk." + std::to_string(*layer) + ".", family);
}

std::string hf_name_of(std::string_view gguf_name, Family family) {
    if (gguf_name == "output.weight") return "lm_head.weight";
    if (const auto name = hf_part(kOutsideLayers, gguf_name); !name.empty()) {
        return "model." + std::string(name);
    }
    const auto layer = take_layer("blk.", gguf_name);
    if (!layer) return {};
    const std::string block = "model.layers." + std::to_string(*layer) + ".";
    const size_t dot = gguf_name.rfind('.');
    if (dot == std::string_view::npos) return {};
    const std::string_view part = gguf_name.substr(0, dot);
    const std::string_view ending = gguf_name.substr(dot);
    if (const auto name = hf_part(kProjections, part); !name.empty()) {
        return block + std::string(name) + std::string(ending);
    }
    if (const auto name = hf_norm(part, family); !name.empty()) {
        return block + std::string(name) + std::string(ending);
    }
    constexpr std::string_view kNormIn = "_norm_in";
    if (!part.ends_with(kNormIn)) return {};
    const auto name = hf_part(kProjections, part.substr(0, part.size() - kNormIn.size()));
    return name.empty() ? "" : block + std::string(name) + ".norm" + std::string(ending);
}

}  // namespace bitnetd::safetensors
