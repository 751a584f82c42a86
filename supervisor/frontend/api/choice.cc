#include "supervisor/frontend/api/choice.h"

#include "common/base/clock.h"

namespace bitnetd::frontend {

void Choice::on_started(const FlightStart& start) noexcept {
    owner_.on_choice_started(*this, start);
}

void Choice::on_tokens(const TokenBatch& batch) noexcept {
    last_token_ns = monotonic_ns();
    if (first_token_ns == 0) first_token_ns = last_token_ns;
    if (!held_.empty() || owner_.must_hold())
        hold(batch);
    else
        take(batch);
}

void Choice::on_end(EndReason reason) noexcept {
    if (held_.empty())
        end(reason);
    else
        held_end_ = reason;
}

void Choice::hold(const TokenBatch& batch) {
    for (Token token : batch.tokens) {
        const auto first = static_cast<uint32_t>(held_alternatives_.size());
        const auto others =
            batch.alternatives.subspan(token.alternatives_first, token.alternatives_count);
        held_alternatives_.insert(held_alternatives_.end(), others.begin(), others.end());
        token.alternatives_first = first;
        held_.push_back(token);
    }
    held_ends_with_eog_ = batch.ends_with_eog;
}

void Choice::go_on() {
    if (held_.empty()) return;
    const auto tokens = std::exchange(held_, {});
    const auto alternatives = std::exchange(held_alternatives_, {});
    const auto ended = std::exchange(held_end_, std::nullopt);
    take({tokens, alternatives, held_ends_with_eog_});
    if (ended && !is_ended) end(*ended);
}

void Choice::take(const TokenBatch& batch) {
    bool stopped = false;
    for (size_t i = 0; i < batch.tokens.size() && !stopped; ++i) {
        const Token& token = batch.tokens[i];
        ++token_count;
        logprob_sum += static_cast<double>(token.logprob);
        if (batch.ends_with_eog && i + 1 == batch.tokens.size()) break;  // it has no text
        stopped = stream_.push(
            token.id, token.logprob,
            batch.alternatives.subspan(token.alternatives_first, token.alternatives_count), text);
    }
    for (ScoredToken& score : stream_.take_scores())
        scores.push_back(std::move(score));
    if (!stopped) {
        owner_.on_choice_text(*this);
        return;
    }
    is_ended = true;
    owner_.on_choice_stopped(*this);
    owner_.on_choice_ended(*this, EndReason::kStop);
}

void Choice::end(EndReason reason) {
    is_ended = true;
    stream_.finish(text);
    for (ScoredToken& score : stream_.take_scores())
        scores.push_back(std::move(score));
    owner_.on_choice_ended(*this, reason);
}

}  // namespace bitnetd::frontend
