#include "supervisor/frontend/api/prompt_echo.h"

namespace bitnetd::frontend {

PromptEcho::PromptEcho(const text::VocabularyView& vocabulary, const Prompt& prompt)
    : prompt_(prompt), detokenizer_(vocabulary, prompt.spelling) {
    add({.id = prompt.ids->front(), .has_logprob = false});
}

void PromptEcho::take(const TokenBatch& batch) {
    for (const Token& token : batch.tokens) {
        const auto others =
            batch.alternatives.subspan(token.alternatives_first, token.alternatives_count);
        add({.id = token.id,
             .logprob = token.logprob,
             .alternatives = {others.begin(), others.end()}});
    }
}

void PromptEcho::add(ScoredToken entry) {
    const uint32_t position = seen_count_++;
    if (position < prompt_.own_begin || position >= prompt_.own_end) return;
    detokenizer_.push(entry.id, entry.text);
    if (position + 1 == prompt_.own_end) detokenizer_.flush(entry.text);
    entries_.push_back(std::move(entry));
}

}  // namespace bitnetd::frontend
