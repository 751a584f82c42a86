#include "supervisor/frontend/api/generation.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "common/base/clock.h"
#include "shm/control/text_field.h"

namespace bitnetd::frontend {

Generation::Generation(Dispatcher& dispatcher, Exchange& exchange, Prepared prepared, uint64_t seed,
                       CanaryUse canary, std::unique_ptr<Renderer> renderer,
                       std::function<void(Generation&)> on_done)
    : dispatcher_(dispatcher),
      exchange_(&exchange),
      prepared_(std::move(prepared)),
      bias_(shared_bias(prepared_.params)),
      seed_(seed),
      canary_(std::move(canary)),
      renderer_(std::move(renderer)),
      request_id_(exchange.request().request_id),
      received_ns_(exchange.request().received_ns),
      on_done_(std::move(on_done)) {
    const GenerationParams& params = prepared_.params;
    for (uint32_t prompt = 0; prompt < prepared_.prompts.size(); ++prompt) {
        for (uint32_t i = 0; i < params.best_of; ++i) {
            choices_.push_back(std::make_unique<Choice>(
                *this, prompt, prompt * params.best_of + i,
                TextStream(prepared_.model->vocabulary(), params.stops, params.wants_logprobs)));
            if (!params.scores_prompt()) continue;
            choices_.back()->echo_with_scores(prepared_.model->vocabulary(),
                                              prepared_.prompts[prompt]);
        }
    }
    choices_.front()->tally = canary_.tally;
    exchange.on_gone = [this] { on_gone(); };
    exchange.on_drained = [this] { on_drained(); };
}

Generation::~Generation() {
    cancel_flights();
}

bool Generation::start(uint64_t now_ns) {
    for (const auto& choice : choices_) {
        const Prompt& prompt = prepared_.prompts[choice->prompt];
        const bool is_answered = prepared_.position_limit(prompt) == prompt.ids->size();
        if (is_answered && !prepared_.params.scores_prompt()) continue;  // max_tokens 0
        const auto flight = dispatcher_.submit(spec_of(*choice, now_ns), *choice, now_ns);
        if (!flight) {
            cancel_flights();
            return false;
        }
        choice->flight = *flight;
    }
    for (const auto& choice : choices_) {
        if (choice->flight == 0) choice->on_end(EndReason::kLength);
    }
    return true;
}

FlightSpec Generation::spec_of(const Choice& choice, uint64_t now_ns) const {
    FlightSpec spec = generation_spec(prepared_, prepared_.prompts[choice.prompt],
                                      seed_ + choice.index, bias_, now_ns);
    spec.may_use_canary = canary_.may_run;
    return spec;
}

bool Generation::must_hold() const {
    return prepared_.params.stream && exchange_ != nullptr &&
           exchange_->unsent_bytes() > kSlowReaderBytes;
}

void Generation::on_choice_started(Choice& choice, const FlightStart& start) {
    if (!start_) {
        start_ = start;
        renderer_->on_started(start);
    }
    // The first choice of a prompt tells what the cache had of it before this request.
    if (choice.index % prepared_.params.best_of == 0) cached_tokens_ += start.cached_tokens;
    if (prepared_.params.stream && exchange_ != nullptr) begin_stream();
}

// The head leaves with the first news of a worker: until then a failure has a status of its own.
void Generation::begin_stream() {
    if (has_begun_) return;
    has_begun_ = true;
    exchange_->begin_stream();
    event_.clear();
    for (const auto& choice : choices_)
        renderer_->begin_choice(event_, choice->index, echo_of(*choice));
    if (!event_.empty()) exchange_->send(event_);
}

// What the text of the choice begins with; empty when the choice says it itself, with scores.
std::string_view Generation::echo_of(const Choice& choice) const {
    if (prepared_.params.scores_prompt()) return "";
    return prepared_.prompts[choice.prompt].echo;
}

void Generation::on_choice_text(Choice& choice) {
    if (exchange_ == nullptr) return;
    if (!prepared_.params.stream) return;  // gathered in the choice until it ends
    begin_stream();
    send_text(choice);
}

void Generation::send_text(Choice& choice) {
    event_.clear();
    renderer_->append_text(event_, {choice.index, choice.text, choice.scores, choice.token_count,
                                    choice.last_token_ns});
    choice.text.clear();
    choice.scores.clear();
    if (!event_.empty()) exchange_->send(event_);
}

void Generation::on_choice_stopped(Choice& choice) {
    if (choice.tally) choice.tally->stop();
    dispatcher_.complete(choice.flight, monotonic_ns());
}

void Generation::on_choice_ended(Choice& choice, EndReason reason) {
    if (exchange_ == nullptr) return;
    if (const auto error = error_of(reason)) {
        if (canary_.tally) canary_.tally->end(reason);  // whichever choice it was
        fail(*error);
        return;
    }
    ++ended_count_;
    if (prepared_.params.stream) {
        begin_stream();
        send_text(choice);
        send_finish(choice, reason);
    } else {
        keep(choice, reason);
    }
    if (ended_count_ < choices_.size()) return;
    if (!prepared_.params.stream) answer_whole();
    finish();
}

// Time that is over ends an answer that has begun; it is answered with what there is.
std::optional<ApiError> Generation::error_of(EndReason reason) const {
    if (reason == EndReason::kStop || reason == EndReason::kLength) return std::nullopt;
    if (reason == EndReason::kTimeout && tokens_so_far() > 0) return std::nullopt;
    return flight_failed(reason, prepared_.model->id);
}

void Generation::send_finish(Choice& choice, EndReason reason) {
    event_.clear();
    renderer_->end_choice(event_, choice.index, reason);
    if (ended_count_ == choices_.size()) renderer_->end(event_, usage());
    if (!event_.empty()) exchange_->send(event_);
    if (ended_count_ == choices_.size()) exchange_->end_stream();
}

void Generation::keep(Choice& choice, EndReason reason) {
    std::string text = std::string(echo_of(choice)) + choice.text;
    finished_.push_back({choice.index, std::move(text), reason, std::move(choice.scores)});
    const auto count = static_cast<double>(std::max<uint64_t>(choice.token_count, 1));
    const double mean = choice.logprob_sum / count;
    // What a worker made of NaN has no order: it comes last.
    mean_logprobs_.push_back(std::isfinite(mean) ? mean : -std::numeric_limits<double>::infinity());
}

// Of each prompt the n candidates with the highest mean logprob, ties by index, numbered anew.
void Generation::keep_best() {
    const GenerationParams& params = prepared_.params;
    std::vector<size_t> order(finished_.size());
    for (size_t i = 0; i < order.size(); ++i)
        order[i] = i;
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
        const uint32_t prompt_a = finished_[a].index / params.best_of;
        const uint32_t prompt_b = finished_[b].index / params.best_of;
        if (prompt_a != prompt_b) return prompt_a < prompt_b;
        if (params.best_of > params.n && mean_logprobs_[a] != mean_logprobs_[b]) {
            return mean_logprobs_[a] > mean_logprobs_[b];
        }
        return finished_[a].index < finished_[b].index;
    });
    std::vector<FinishedChoice> kept;
    for (size_t i = 0; i < order.size(); ++i) {
        if (i % params.best_of >= params.n) continue;
        FinishedChoice& choice = finished_[order[i]];
        choice.index = static_cast<uint32_t>(kept.size());
        kept.push_back(std::move(choice));
    }
    finished_ = std::move(kept);
}

void Generation::answer_whole() {
    keep_best();
    Response response;
    response.body = renderer_->whole(finished_, usage());
    exchange_->respond(std::move(response));
}

// The whole request fails with its first flight that does.
void Generation::fail(const ApiError& error) {
    cancel_flights();
    if (has_begun_) {
        event_.clear();
        renderer_->fail(event_, error);
        exchange_->send(event_);
        exchange_->end_stream();
    } else {
        exchange_->respond(error_response(error, request_id_));
    }
    finish();
}

void Generation::cancel_flights() {
    const uint64_t now_ns = monotonic_ns();
    for (const auto& choice : choices_) {
        if (choice->flight != 0 && !choice->is_ended) dispatcher_.cancel(choice->flight, now_ns);
        choice->is_ended = true;
        if (choice->tally) choice->tally->cut();
    }
}

void Generation::finish() {
    exchange_ = nullptr;
    if (on_done_) std::exchange(on_done_, nullptr)(*this);
}

void Generation::on_gone() {
    cancel_flights();
    finish();
}

void Generation::on_drained() {
    for (const auto& choice : choices_) {
        if (exchange_ == nullptr) return;  // answered by the one before
        choice->go_on();
    }
}

Usage Generation::usage() const {
    Usage usage;
    const FlightStart start = start_.value_or(FlightStart{});
    usage.queue_ns = start.queue_ns;
    usage.prefill_ns = start.prefill_ns;
    usage.device = device_class(start.device);
    usage.device_changed = device_changed_;
    usage.quantization = std::string(shm::field_text(prepared_.model->facts.quantization));
    usage.priority = prepared_.params.priority;
    usage.total_ns = monotonic_ns() - received_ns_;
    usage.cached_tokens = cached_tokens_;
    for (const Prompt& prompt : prepared_.prompts)
        usage.prompt_tokens += prompt.ids->size();
    uint64_t first_ns = UINT64_MAX;
    uint64_t last_ns = 0;
    for (const auto& choice : choices_) {
        usage.completion_tokens += choice->token_count;
        usage.decode_iterations = std::max(usage.decode_iterations, choice->step_count);
        if (choice->first_token_ns == 0) continue;
        usage.decoded_tokens += choice->token_count - 1;
        first_ns = std::min(first_ns, choice->first_token_ns);
        last_ns = std::max(last_ns, choice->last_token_ns);
    }
    if (last_ns == 0) return usage;
    usage.decode_ns = last_ns > start.prefill_done_ns ? last_ns - start.prefill_done_ns : 0;
    usage.first_token_ns = first_ns > received_ns_ ? first_ns - received_ns_ : 0;
    return usage;
}

uint64_t Generation::tokens_so_far() const {
    uint64_t count = 0;
    for (const auto& choice : choices_)
        count += choice->token_count;
    return count;
}

}  // namespace bitnetd::frontend
