#include "worker/prepare/hf_merge_scores.h"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/quote.h"

namespace bitnetd::worker {
namespace {

using safetensors::TokenizerJson;

// Index in the sorted vocabulary.
std::optional<size_t> find(const TokenizerJson& json, std::string_view text) {
    const auto& vocabulary = json.vocabulary;
    const auto at = std::lower_bound(
        vocabulary.begin(), vocabulary.end(), text,
        [](const auto& entry, std::string_view wanted) { return entry.first < wanted; });
    if (at == vocabulary.end() || at->first != text) return std::nullopt;
    return static_cast<size_t>(at - vocabulary.begin());
}

bool is_one_character(std::string_view text) {
    const auto continues = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; };
    return !text.empty() && std::all_of(text.begin() + 1, text.end(), continues);
}

bool is_byte_token(std::string_view text) {
    return text.size() == 6 && text.starts_with("<0x") && text.ends_with(">");
}

}  // namespace

Result<std::vector<float>> merge_scores(const TokenizerJson& json) {
    constexpr float kNone = 1;  // above every score
    std::vector<float> scores(json.vocabulary.size(), kNone);
    for (size_t rank = 0; rank < json.merges.size(); ++rank) {
        const auto& [left, right] = json.merges[rank];
        const std::string joined = left + right;
        for (const std::string& text : {left, right, joined}) {
            if (find(json, text)) continue;
            return invalid("model.merges entry " + std::to_string(rank) + " needs the token " +
                           quote(text) + ", which model.vocab does not have");
        }
        float& score = scores[*find(json, joined)];
        // Exact: there are at most 2^21 merges.
        if (score == kNone) score = -static_cast<float>(rank);
    }
    for (size_t i = 0; i < scores.size(); ++i) {
        if (scores[i] != kNone) continue;
        const std::string& text = json.vocabulary[i].first;
        const bool single = is_one_character(text) || is_byte_token(text);
        scores[i] = single ? 0 : -static_cast<float>(json.merges.size());
    }
    return scores;
}

}  // namespace bitnetd::worker
