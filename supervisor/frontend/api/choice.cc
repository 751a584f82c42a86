#include "supervisor/frontend/api/choice.h"

#include "common/base/clock.h"

namespace bitnetd::frontend {

void Choice::echo_with_scores(const text::VocabularyView& vocabulary, const Prompt& echoed) {
    echo_.emplace(vocabulary, echoed);
    if (echo_->is_complete()) take_echo();  // of one token: no score is to come
}

void Choice::take_echo() {
    text += echo_->text();
    scores = echo_->take_entries();
    has_echoed_ = true;
}

void Choice::on_started(const FlightStart& start) noexcept {
    if (tally) tally->start(start.worker);
    owner_.on_choice_started(*this, start);
}

// Text and scores of the prompt are given out together, so that a stream begins with all of it.
void Choice::on_prompt_scores(const TokenBatch& batch) noexcept {
    echo_->take(batch);
    if (!echo_->is_complete()) return;
    take_echo();
    owner_.on_choice_text(*this);
}

void Choice::on_tokens(const TokenBatch& batch) noexcept {
    last_token_ns = monotonic_ns();
    if (first_token_ns == 0) first_token_ns = last_token_ns;
    if (tally) tally->add(batch.tokens);
    if (!held_.empty() || owner_.must_hold())
        hold(batch);
    else
        take(batch);
}

void Choice::on_end(EndReason reason) noexcept {
    if (tally) tally->end(reason);
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
        if (token_count++ == 0 || token.step != last_step_) ++step_count;
        last_step_ = token.step;
        logprob_sum += static_cast<double>(token.logprob);
        const auto others =
            batch.alternatives.subspan(token.alternatives_first, token.alternatives_count);
        if (batch.ends_with_eog && i + 1 == batch.tokens.size()) {  // it has no text
            if (echo_) end_score_ = {token.id, token.logprob, "", {others.begin(), others.end()}};
            break;
        }
        stopped = stream_.push(token.id, token.logprob, others, text);
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
    if (echo_ && !has_echoed_) text += echo_->text();  // its time was over before it was scored
    stream_.finish(text);
    for (ScoredToken& score : stream_.take_scores())
        scores.push_back(std::move(score));
    if (end_score_) scores.push_back(std::move(*end_score_));
    owner_.on_choice_ended(*this, reason);
}

}  // namespace bitnetd::frontend
