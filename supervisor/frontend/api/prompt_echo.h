// PromptEcho: the prompt's part of a completion with `echo` and logprobs: the caller's own tokens,
// each with its text and what the model thought of it.
//
// The first token of what the model saw has no logprob: nothing is before it. As clients that score
// texts count it (lm-evaluation-harness takes token_logprobs[length of the context : -1]), there is
// one entry per token that the caller sent and one per token that was generated, an
// end-of-generation token included. So a BOS that was added has no entry, and with one the first
// entry is a real logprob; a prompt of ids, to which nothing is added, begins with null.
// Loop thread only.
#pragma once

#include <cstdint>
#include <vector>

#include "common/text/detokenizer.h"
#include "supervisor/frontend/api/prompt_input.h"
#include "supervisor/frontend/api/text_stream.h"
#include "supervisor/frontend/dispatch/flight.h"

namespace bitnetd::frontend {

class PromptEcho {
  public:
    // `prompt` was read with its echo, and outlives this.
    PromptEcho(const text::VocabularyView& vocabulary, const Prompt& prompt);

    // The next scores of the prompt, in order.
    void take(const TokenBatch& batch);
    bool is_complete() const { return seen_count_ == prompt_.ids->size(); }

    // The entries of the tokens so far. Once complete, their texts joined are the echo, but for
    // text that its tokens spell differently.
    std::vector<ScoredToken> take_entries() { return std::exchange(entries_, {}); }
    const std::string& text() const { return prompt_.echo; }

  private:
    void add(ScoredToken entry);

    const Prompt& prompt_;
    text::Detokenizer detokenizer_;
    uint32_t seen_count_ = 0;  // of the prompt's tokens
    std::vector<ScoredToken> entries_;
};

}  // namespace bitnetd::frontend
