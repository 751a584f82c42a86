// tokenizer.json, read without building a document of its large parts: a vocabulary of any size
// costs its texts only. What it means is worker/prepare/hf_tokenizer.h's business.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/result.h"

namespace bitnetd::safetensors {

inline constexpr size_t kTokenizerBytesMax = 64u << 20;
inline constexpr size_t kTokensMax = 1u << 20;
inline constexpr size_t kTokenBytesMax = 4096;
inline constexpr size_t kMergesMax = 1u << 21;
inline constexpr size_t kTreeValuesMax = 1u << 20;  // everything but the vocabulary and the merges

struct AddedToken {
    uint32_t id = 0;   // below kTokensMax
    std::string text;  // not empty
    bool special = false;
    bool strips = false;       // takes white space beside it along: lstrip or rstrip
    bool single_word = false;  // only between word boundaries
};

struct TokenizerJson {
    std::vector<std::pair<std::string, uint32_t>> vocabulary;  // sorted, texts and ids differ
    std::vector<std::pair<std::string, std::string>> merges;   // by rank, no part empty
    std::vector<AddedToken> added;                             // ids differ

    // An object, or null when absent.
    nlohmann::json normalizer;
    nlohmann::json pre_tokenizer;
    nlohmann::json post_processor;
    nlohmann::json decoder;
    nlohmann::json model;  // the rest of it: "type" and settings
};

// Refuses what is no byte-pair vocabulary, and what a lenient reader would take: repeated keys,
// repeated ids, ids that are no plain integers, NUL bytes.
Result<TokenizerJson> parse_tokenizer_json(std::string_view text);

}  // namespace bitnetd::safetensors
