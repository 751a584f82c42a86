// What a flight wants of its prompt besides a token drawn after it: the scores of its ids, or an
// embedding; gathered chunk by chunk and published by the publisher. Its memory is allocated when
// such a flight is taken in. Loop thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "worker/model/pooling.h"
#include "worker/sampler/sampler.h"

namespace bitnetd::worker {

// Prompt rows of such a flight in one step: bounds the memory of its results.
inline constexpr uint32_t kResultRowsMax = 64;

struct PromptResults {
    bool wants_scores = false;
    bool wants_embedding = false;
    bool has_none_due = false;  // scores of a prompt of one id: an empty record

    uint32_t score_position = 1;    // the next one to be published
    uint32_t score_count = 0;       // of `scores`, those that the last chunk gave
    uint32_t scores_published = 0;  // of them
    std::vector<Drawn> scores;      // [kResultRowsMax]
    std::optional<Pooler> pooler;   // of the rows so far
    std::vector<float> embedding;   // [hidden]
    uint32_t embedding_count = 0;   // of them, once the prompt is computed
    uint32_t embedding_published = 0;

    bool are_wanted() const { return wants_scores || wants_embedding; }
    bool are_due() const {
        return scores_published < score_count || has_none_due ||
               embedding_published < embedding_count;
    }
};

}  // namespace bitnetd::worker
