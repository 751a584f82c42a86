// config.json of a checkpoint as plain values: what is absent has the default of the model's class.
// Everything is bounded, so that sizes can be multiplied in 64 bits.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/safetensors/hf_quantization.h"

namespace bitnetd::safetensors {

inline constexpr size_t kConfigBytesMax = 1u << 20;

enum class Family : uint8_t {
    kLlama,
    kBitNet,   // BitNetForCausalLM: BitNet b1.58 2B-4T
    kBitnet1,  // BitnetForCausalLM: 1bitLLM
    kQwen2,
    kQwen3,
    kGemma3,
};

enum class Activation : uint8_t { kSilu, kRelu2, kGeluTanh };

// Ways to stretch rotary angles beyond the trained context.
enum class RopeStretch : uint8_t { kNone, kLinear, kLlama3, kYarn };
struct RopeScaling {
    RopeStretch stretch = RopeStretch::kNone;
    double factor = 1;
    double low_frequency_factor = 1;           // llama3
    double high_frequency_factor = 4;          // llama3
    double beta_fast = 32;                     // yarn
    double beta_slow = 1;                      // yarn
    std::optional<double> attention_factor;    // yarn
    std::optional<uint64_t> original_context;  // llama3, yarn; yarn: else the model's context
};

struct ModelConfig {
    Family family = Family::kLlama;
    std::string architecture;  // architectures[0]
    std::string name;          // the end of _name_or_path, "" when absent
    bool has_head = true;      // false: only the layers, as embedding models are stored
    uint64_t hidden_size = 0;
    uint64_t layers = 0;
    uint64_t intermediate_size = 0;
    uint64_t heads = 0;
    uint64_t kv_heads = 0;
    uint64_t head_dim = 0;
    uint64_t context_length = 0;  // max_position_embeddings
    uint64_t vocab_size = 0;
    double rms_norm_eps = 0;
    double rope_theta = 0;
    RopeScaling rope_scaling;
    Activation activation = Activation::kSilu;
    bool tie_word_embeddings = false;
    bool attention_bias = false;
    bool mlp_bias = false;
    std::optional<uint32_t> bos_id;
    std::optional<uint32_t> pad_id;
    std::vector<uint32_t> eos_ids;
    std::string dtype;  // torch_dtype, "" when absent
    std::optional<Quantization> quantization;

    // gemma3. Layer i sees `sliding_window` positions where windowed[i], all of them elsewhere.
    std::optional<uint64_t> sliding_window;
    std::vector<bool> windowed;  // one per layer; all false without a window
    double rope_theta_windowed = 0;
    double query_scalar = 0;  // scores are divided by its square root; head_dim elsewhere
    std::optional<double> final_logit_softcapping;
};

// The architecture's name in GGUF: "llama", "bitnet-b1.58", "bitnet", "qwen2", "qwen3", "gemma3".
std::string_view gguf_architecture(Family family);

Result<ModelConfig> parse_model_config(std::string_view text);

}  // namespace bitnetd::safetensors
