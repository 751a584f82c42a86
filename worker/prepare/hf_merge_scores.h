// Scores that order merges as a merge list does: "llama" vocabularies of GGUF files have no list,
// the pair whose joined text has the highest score is joined first (tokenizers.md section 4).
#pragma once

#include <vector>

#include "common/base/result.h"
#include "common/safetensors/tokenizer_json.h"

namespace bitnetd::worker {

// One for each entry of json.vocabulary: minus the rank of the first merge that makes it. A text
// that no merge makes has 0 when it is one character or a byte's token, and less than every merge
// when it is longer. Refuses merges of texts that are no tokens.
// The order is the list's where all merges of one text follow each other and none is missing, as in
// lists made from SentencePiece models; scores cannot say anything else.
Result<std::vector<float>> merge_scores(const safetensors::TokenizerJson& json);

}  // namespace bitnetd::worker
