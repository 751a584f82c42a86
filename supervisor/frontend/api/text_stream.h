// TextStream: the tokens of one choice become text: detokenized, and held back while it may be part
// of a stop string. With logprobs it also says which tokens the released text belongs to. Whatever
// way the tokens were cut into batches, the concatenated text is the same. One per choice; loop
// thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <vector>

#include "common/text/detokenizer.h"
#include "common/text/stop_matcher.h"
#include "common/text/vocabulary_image.h"
#include "shm/abi/records.h"

namespace bitnetd::frontend {

// A token with its logprob and the text that it completed.
struct ScoredToken {
    uint32_t id = 0;
    float logprob = 0;
    std::string text = {};  // may be empty: no character was complete yet
    std::vector<shm::Alternative> alternatives = {};
    bool has_logprob = true;  // false: the first of a prompt
};

class TextStream {
  public:
    TextStream(const text::VocabularyView& vocabulary, const std::vector<std::string>& stops,
               bool keeps_scores);

    // Appends the text that is certain now to `out`. True: this token completed a stop string;
    // `out` ends before it and nothing may be pushed any more.
    bool push(uint32_t id, float logprob, std::span<const shm::Alternative> alternatives,
              std::string& out);

    // No more tokens: releases what was held back.
    void finish(std::string& out);

    // The tokens whose text was released since the last call, in order. Those of a stop string
    // are never among them. Empty unless keeps_scores.
    std::vector<ScoredToken> take_scores();

  private:
    struct Held {
        ScoredToken token;
        size_t begin_bytes;  // of its text in the whole text
        size_t end_bytes;
    };
    void release_scores();

    text::Detokenizer detokenizer_;
    text::StopMatcher stops_;
    const bool has_stops_;
    const bool keeps_scores_;
    std::string piece_;
    size_t seen_bytes_ = 0;      // detokenized
    size_t released_bytes_ = 0;  // of these, given out
    std::deque<Held> held_;
    std::vector<ScoredToken> released_;
};

}  // namespace bitnetd::frontend
