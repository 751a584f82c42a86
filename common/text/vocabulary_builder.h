// Makes a vocabulary image (vocabulary_image.h) from what a model file says. Loader process, and
// tests. The input is untrusted: build() checks every limit and refuses with the reason.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/result.h"
#include "common/text/vocabulary_image.h"

namespace bitnetd::text {

// Fill in, then build(). Sizes that are not mentioned may be zero.
struct VocabularyBuilder {
    VocabularyModel model = VocabularyModel::kBpe;
    std::vector<std::string> tokens;                          // id -> text; required
    std::vector<TokenType> types;                             // one per token, or empty: all normal
    std::vector<float> scores;                                // SPM: one per token
    std::vector<std::pair<std::string, std::string>> merges;  // BPE, by rank

    std::optional<uint32_t> bos, eos, eot, unknown, padding;  // each below tokens.size()
    std::vector<uint32_t> end_ids;                            // end of generation
    std::vector<uint32_t> suppressed;

    bool add_bos = false;
    bool add_eos = false;
    bool ignore_merges = false;
    bool add_space_prefix = false;
    bool normalise_nfc = false;  // BPE; tokenizer.json says so, GGUF files cannot

    std::string pre_tokenizer;  // BPE: a name that PreTokenizer knows
    std::string chat_template;

    // Splits "left right" at the first space behind the first byte and appends it to merges. False
    // when there is no such space.
    bool add_merge(std::string_view line);

    Result<std::vector<std::byte>> build() const;
};

}  // namespace bitnetd::text
