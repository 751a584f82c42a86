#include "common/safetensors/hf_config.h"

#include "common/base/check.h"
#include "common/base/quote.h"
#include "common/safetensors/rope_config.h"

namespace bitnetd::safetensors {
namespace {

constexpr uint64_t kSizeMax = 1u << 20;  // hidden, intermediate
constexpr uint64_t kLayersMax = 512;
constexpr uint64_t kHeadsMax = 4096;
constexpr uint64_t kHeadDimMax = 4096;
constexpr uint64_t kContextMax = 1u << 24;
constexpr uint64_t kVocabularyMax = 1u << 20;

// A class of models in Hugging Face's library, and what its configuration holds when the file says
// nothing.
struct ModelClass {
    std::string_view architecture;
    Family family;
    std::string_view gguf_name;
    double rms_norm_eps;
    double rope_theta;
    std::string_view activation;
    bool tie_word_embeddings;
    uint64_t head_dim;  // 0: hidden_size / heads
    bool has_head = true;
};

constexpr ModelClass kClasses[] = {
    {"LlamaForCausalLM", Family::kLlama, "llama", 1e-6, 10000, "silu", false, 0},
    {"BitNetForCausalLM", Family::kBitNet, "bitnet-b1.58", 1e-5, 500000, "relu2", false, 0},
    {"BitnetForCausalLM", Family::kBitnet1, "bitnet", 1e-6, 10000, "silu", false, 0},
    {"Qwen2ForCausalLM", Family::kQwen2, "qwen2", 1e-6, 10000, "silu", false, 0},
    {"Qwen3ForCausalLM", Family::kQwen3, "qwen3", 1e-6, 10000, "silu", false, 128},
    {"Gemma3ForCausalLM", Family::kGemma3, "gemma3", 1e-6, 1e6, "gelu_pytorch_tanh", true, 256},
    {"LlamaModel", Family::kLlama, "llama", 1e-6, 10000, "silu", true, 0, false},
    {"Qwen2Model", Family::kQwen2, "qwen2", 1e-6, 10000, "silu", true, 0, false},
    {"Qwen3Model", Family::kQwen3, "qwen3", 1e-6, 10000, "silu", true, 128, false},
    {"Gemma3TextModel", Family::kGemma3, "gemma3", 1e-6, 1e6, "gelu_pytorch_tanh", true, 256,
     false},
};

Result<const ModelClass*> class_of(const Fields& fields) {
    std::vector<std::string> names;
    BITNETD_FIELD(names, fields.texts("architectures"));
    if (names.empty()) return fields.wrong("architectures", "the model's class");
    for (const ModelClass& known : kClasses) {
        if (names[0] == known.architecture) return &known;
    }
    return unsupported("architecture " + quote(names[0]) + " is not one that can be read");
}

Result<Activation> activation_of(std::string_view name) {
    if (name == "silu" || name == "swish") return Activation::kSilu;
    if (name == "relu2") return Activation::kRelu2;
    if (name == "gelu_pytorch_tanh") return Activation::kGeluTanh;
    return unsupported("hidden_act " + quote(name) + " is not one that can be computed");
}

Result<uint64_t> required(const Fields& fields, std::string_view key, uint64_t max) {
    BITNETD_ASSIGN(const auto found, fields.integer(key, 1, max));
    if (found) return *found;
    return fields.wrong(key, "an integer from 1 to " + std::to_string(max));
}

Result<void> parse_sizes(const Fields& fields, const ModelClass& known, ModelConfig& out) {
    BITNETD_ASSIGN(out.hidden_size, required(fields, "hidden_size", kSizeMax));
    BITNETD_ASSIGN(out.layers, required(fields, "num_hidden_layers", kLayersMax));
    BITNETD_ASSIGN(out.intermediate_size, required(fields, "intermediate_size", kSizeMax));
    BITNETD_ASSIGN(out.heads, required(fields, "num_attention_heads", kHeadsMax));
    BITNETD_ASSIGN(out.context_length, required(fields, "max_position_embeddings", kContextMax));
    BITNETD_ASSIGN(out.vocab_size, required(fields, "vocab_size", kVocabularyMax));
    out.kv_heads = out.heads;
    BITNETD_FIELD(out.kv_heads, fields.integer("num_key_value_heads", 1, kHeadsMax));
    if (out.heads % out.kv_heads != 0) {
        return invalid("num_attention_heads " + std::to_string(out.heads) +
                       " is no multiple of num_key_value_heads " + std::to_string(out.kv_heads));
    }
    out.head_dim = known.head_dim;
    BITNETD_FIELD(out.head_dim, fields.integer("head_dim", 1, kHeadDimMax));
    if (out.head_dim == 0) {
        if (out.hidden_size % out.heads != 0 || out.hidden_size / out.heads > kHeadDimMax) {
            return invalid("head_dim is absent, and hidden_size " +
                           std::to_string(out.hidden_size) + " does not give one for " +
                           std::to_string(out.heads) + " heads");
        }
        out.head_dim = out.hidden_size / out.heads;
    }
    if (out.head_dim % 2 != 0) return fields.wrong("head_dim", "an even number");
    return {};
}

Result<void> parse_ids(const Fields& fields, ModelConfig& out) {
    const uint64_t max = out.vocab_size - 1;
    std::vector<uint64_t> ids;
    BITNETD_FIELD(ids, fields.integers("bos_token_id", max));
    if (!ids.empty()) out.bos_id = static_cast<uint32_t>(ids[0]);
    ids.clear();
    BITNETD_FIELD(ids, fields.integers("eos_token_id", max));
    out.eos_ids.assign(ids.begin(), ids.end());
    // Some files write -1 for "none": any other wrong value is of no consequence either.
    const nlohmann::json* const pad = fields.find("pad_token_id");
    if (pad != nullptr && pad->is_number_unsigned() && pad->get<uint64_t>() <= max) {
        out.pad_id = static_cast<uint32_t>(pad->get<uint64_t>());
    }
    return {};
}

// Which layers see a window only: a list, or every layer but the last of each `pattern`.
Result<void> parse_windows(const Fields& fields, ModelConfig& out) {
    BITNETD_FIELD(out.sliding_window, fields.integer("sliding_window", 1, kContextMax));
    out.windowed.assign(out.layers, false);
    out.query_scalar = static_cast<double>(out.head_dim);
    if (out.family != Family::kGemma3) {
        // Qwen writes a window that it does not use.
        bool used = false;
        BITNETD_FIELD(used, fields.boolean("use_sliding_window"));
        if (used) return unsupported("use_sliding_window is not supported for this architecture");
        out.sliding_window.reset();
        return {};
    }
    BITNETD_FIELD(out.query_scalar, fields.number("query_pre_attn_scalar", 1e-3, 1e6));
    BITNETD_FIELD(out.final_logit_softcapping, fields.number("final_logit_softcapping", 1e-3, 1e6));
    if (fields.has("attn_logit_softcapping")) {
        return unsupported("attn_logit_softcapping is not supported");
    }
    if (!out.sliding_window) return {};
    std::vector<std::string> types;
    BITNETD_FIELD(types, fields.texts("layer_types"));
    uint64_t pattern = 6;
    BITNETD_FIELD(pattern, fields.integer("sliding_window_pattern", 1, kLayersMax));
    if (!types.empty() && types.size() != out.layers) {
        return fields.wrong("layer_types",
                            "one for each of " + std::to_string(out.layers) + " layers");
    }
    for (size_t i = 0; i < out.layers; ++i) {
        out.windowed[i] = types.empty() ? (i + 1) % pattern != 0 : types[i] == "sliding_attention";
        if (!types.empty() && !out.windowed[i] && types[i] != "full_attention") {
            return unsupported("layer_types names " + quote(types[i]));
        }
    }
    return {};
}

}  // namespace

std::string_view gguf_architecture(Family family) {
    for (const ModelClass& known : kClasses) {
        if (known.family == family) return known.gguf_name;
    }
    BITNETD_CHECK(!"a known family");
}

Result<ModelConfig> parse_model_config(std::string_view text) {
    BITNETD_ASSIGN(const nlohmann::json json, parse_json_object(text, kConfigBytesMax));
    const Fields fields(json);
    BITNETD_ASSIGN(const ModelClass* const known, class_of(fields));
    ModelConfig out;
    out.family = known->family;
    out.architecture = known->architecture;
    out.has_head = known->has_head;
    BITNETD_FIELD(out.name, fields.text("_name_or_path"));
    out.name.erase(0, out.name.rfind('/') + 1);
    BITNETD_TRY(parse_sizes(fields, *known, out));
    BITNETD_TRY(parse_ids(fields, out));
    out.rms_norm_eps = known->rms_norm_eps;
    BITNETD_FIELD(out.rms_norm_eps, fields.number("rms_norm_eps", 1e-12, 1));
    out.rope_theta = known->rope_theta;
    BITNETD_TRY(parse_rope(fields, out));
    std::string activation(known->activation);
    BITNETD_FIELD(activation, fields.text("hidden_act"));
    BITNETD_FIELD(activation, fields.text("hidden_activation"));  // gemma3's word
    BITNETD_ASSIGN(out.activation, activation_of(activation));
    out.tie_word_embeddings = known->tie_word_embeddings;
    BITNETD_FIELD(out.tie_word_embeddings, fields.boolean("tie_word_embeddings"));
    BITNETD_FIELD(out.attention_bias, fields.boolean("attention_bias"));
    BITNETD_FIELD(out.mlp_bias, fields.boolean("mlp_bias"));
    BITNETD_FIELD(out.dtype, fields.text("torch_dtype"));
    BITNETD_FIELD(out.dtype, fields.text("dtype"));
    BITNETD_TRY(parse_windows(fields, out));
    BITNETD_ASSIGN(const auto quantization, fields.object("quantization_config"));
    if (quantization) {
        BITNETD_ASSIGN(out.quantization, parse_quantization(*quantization));
    }
    return out;
}

}  // namespace bitnetd::safetensors
