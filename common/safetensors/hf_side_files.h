// The small files beside config.json: generation_config.json, tokenizer_config.json and, of
// embedding models, 1_Pooling/config.json. Absent files and absent keys are no error.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace bitnetd::safetensors {

inline constexpr size_t kSideFileBytesMax = 16u << 20;  // tokenizer_config repeats added tokens
inline constexpr size_t kChatTemplateBytesMax = 1u << 20;

struct GenerationConfig {
    std::optional<uint32_t> bos_id;
    std::vector<uint32_t> eos_ids;  // replace those of config.json when there are any
    std::optional<bool> do_sample;
    std::optional<double> temperature;
    std::optional<double> top_p;
    std::optional<uint64_t> top_k;
    std::optional<double> repetition_penalty;
};
// Ids below `vocab_size`.
Result<GenerationConfig> parse_generation_config(std::string_view text, uint64_t vocab_size);

struct TokenizerConfig {
    std::string tokenizer_class;
    std::optional<std::string> bos_token;
    std::optional<std::string> eos_token;
    std::optional<std::string> pad_token;
    std::optional<bool> add_bos_token;
    std::optional<bool> add_eos_token;
    // The one named "default" where there are several. A file chat_template.jinja goes before it.
    std::optional<std::string> chat_template;
};
Result<TokenizerConfig> parse_tokenizer_config(std::string_view text);

// As numbered in GGUF's pooling_type.
enum class Pooling : uint8_t { kMean = 1, kFirst = 2, kLast = 3 };
Result<Pooling> parse_pooling(std::string_view text);

}  // namespace bitnetd::safetensors
