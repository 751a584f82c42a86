#include "supervisor/frontend/api/generation.h"

#include <algorithm>

#include "common/base/clock.h"

namespace bitnetd::frontend {
namespace {

std::string_view finish_reason_of(EndReason reason) {
    return reason == EndReason::kStop ? "stop" : "length";
}

// Raw logits' logprobs are wanted by the client, or needed to rank the candidates of best_of.
uint32_t flags_of(const GenerationParams& params) {
    uint32_t flags = 0;
    if (params.ignore_eos) flags |= shm::kIgnoreEos;
    if (params.wants_logprobs || params.best_of > params.n) flags |= shm::kWantLogprobs;
    return flags;
}

}  // namespace

Generation::Generation(Dispatcher& dispatcher, Exchange& exchange, Prepared prepared,
                       std::string id, uint64_t seed, std::function<void(Generation&)> on_done)
    : dispatcher_(dispatcher),
      exchange_(&exchange),
      prepared_(std::move(prepared)),
      bias_(prepared_.params.bias.empty()
                ? nullptr
                : std::make_shared<const std::vector<shm::LogitBias>>(prepared_.params.bias)),
      head_{prepared_.route,
            std::move(id),
            unix_seconds(),
            prepared_.model->id,
            prepared_.model->fingerprint,
            seed},
      request_id_(exchange.request().request_id),
      received_ns_(exchange.request().received_ns),
      on_done_(std::move(on_done)) {
    const GenerationParams& params = prepared_.params;
    if (params.stream) chunks_.emplace(head_, params.include_usage);
    for (uint32_t prompt = 0; prompt < prepared_.prompts.size(); ++prompt) {
        for (uint32_t i = 0; i < params.best_of; ++i) {
            choices_.push_back(std::make_unique<Choice>(
                *this, prompt, prompt * params.best_of + i,
                TextStream(prepared_.model->vocabulary(), params.stops, params.wants_logprobs)));
        }
    }
    text_offsets_.resize(choices_.size());
    exchange.on_gone = [this] { on_gone(); };
    exchange.on_drained = [this] { on_drained(); };
}

Generation::~Generation() {
    cancel_flights();
}

bool Generation::start(uint64_t now_ns) {
    for (const auto& choice : choices_) {
        const Prompt& prompt = prepared_.prompts[choice->prompt];
        if (prepared_.position_limit(prompt) == prompt.ids->size()) continue;  // max_tokens 0
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
    const GenerationParams& params = prepared_.params;
    const Prompt& prompt = prepared_.prompts[choice.prompt];
    FlightSpec spec;
    spec.model_key = prepared_.model->key;
    spec.vocab = prepared_.model->vocab;
    spec.prompt = prompt.ids;
    spec.position_limit = prepared_.position_limit(prompt);
    spec.seed = head_.seed + choice.index;
    spec.sampling = params.sampling;
    spec.bias = bias_;
    spec.flags = flags_of(params);
    spec.logprobs = params.top_logprobs;
    spec.priority = params.priority;
    spec.device = params.device;
    spec.deadline_ns = now_ns + params.timeout_ms * kNsPerMs;
    return spec;
}

bool Generation::must_hold() const {
    return chunks_ && exchange_ != nullptr && exchange_->unsent_bytes() > kSlowReaderBytes;
}

void Generation::on_choice_started(Choice& choice, const FlightStart& start) {
    if (!has_started_) {
        has_started_ = true;
        queue_ns_ = start.queue_ns;
        prefill_ns_ = start.prefill_ns;
        decode_begun_ns_ = start.prefill_done_ns;
    }
    // The first choice of a prompt tells what the cache had of it before this request.
    if (choice.index % prepared_.params.best_of == 0) cached_tokens_ += start.cached_tokens;
    if (chunks_ && exchange_ != nullptr) begin_stream();
}

// The head leaves with the first news of a worker: until then a failure has a status of its own.
void Generation::begin_stream() {
    if (has_begun_) return;
    has_begun_ = true;
    exchange_->begin_stream();
    event_.clear();
    for (const auto& choice : choices_) {
        const std::string& echo = prepared_.prompts[choice->prompt].echo;
        if (head_.route == RouteKind::kChat)
            chunks_->append_role(event_, choice->index);
        else if (!echo.empty())
            chunks_->append_text(event_, choice->index, echo, "");
    }
    if (!event_.empty()) exchange_->send(event_);
}

void Generation::on_choice_text(Choice& choice) {
    if (exchange_ == nullptr) return;
    if (!chunks_) return;  // gathered in the choice until it ends
    begin_stream();
    send_text(choice);
}

void Generation::send_text(Choice& choice) {
    if (choice.text.empty() && choice.scores.empty()) return;
    std::string logprobs;
    if (!choice.scores.empty()) {
        append_logprobs(logprobs, head_.route, prepared_.model->vocabulary(), choice.scores,
                        text_offsets_[choice.index]);
    }
    event_.clear();
    chunks_->append_text(event_, choice.index, choice.text, logprobs);
    choice.text.clear();
    choice.scores.clear();
    exchange_->send(event_);
}

void Generation::on_choice_stopped(Choice& choice) {
    dispatcher_.complete(choice.flight, monotonic_ns());
}

void Generation::on_choice_ended(Choice& choice, EndReason reason) {
    if (exchange_ == nullptr) return;
    if (const auto error = error_of(reason)) {
        fail(*error);
        return;
    }
    ++ended_count_;
    if (chunks_) {
        begin_stream();
        send_text(choice);
        send_finish(choice, finish_reason_of(reason));
    } else {
        keep(choice, finish_reason_of(reason));
    }
    if (ended_count_ < choices_.size()) return;
    if (!chunks_) answer_whole();
    finish();
}

std::optional<ApiError> Generation::error_of(EndReason reason) const {
    switch (reason) {
        case EndReason::kStop:
        case EndReason::kLength:
            return std::nullopt;
        case EndReason::kTimeout:
            if (tokens_so_far() > 0) return std::nullopt;  // "length", with what there is
            return timed_out();
        case EndReason::kQuarantined:
            return quarantined();
        case EndReason::kTooLong: {
            ApiError error = overloaded("memory_exhausted",
                                        "The request does not fit the memory of any worker.", 1000);
            error.suggestion = "Shorten the prompt or lower max_tokens.";
            error.retry_is_useless = true;
            return error;
        }
        case EndReason::kBadNumbers:
            return internal_error("The model computed numbers that are not finite.");
        case EndReason::kInternal:
            return internal_error("A worker could not run the request.");
        case EndReason::kModelGone:
            return model_not_found(prepared_.model->id);
        case EndReason::kShutdown:
            return overloaded("draining", "The server is shutting down.", 1000);
    }
    return internal_error("The request ended for an unknown reason.");
}

void Generation::send_finish(Choice& choice, std::string_view finish_reason) {
    event_.clear();
    chunks_->append_finish(event_, choice.index, finish_reason);
    if (ended_count_ == choices_.size()) {
        if (prepared_.params.include_usage) chunks_->append_usage_chunk(event_, usage());
        event_ += kDoneEvent;
    }
    exchange_->send(event_);
    if (ended_count_ == choices_.size()) exchange_->end_stream();
}

void Generation::keep(Choice& choice, std::string_view finish_reason) {
    const std::string& echo = prepared_.prompts[choice.prompt].echo;
    finished_.push_back(
        {choice.index, echo + choice.text, finish_reason, std::move(choice.scores)});
    const auto count = static_cast<double>(std::max<uint64_t>(choice.token_count, 1));
    mean_logprobs_.push_back(choice.logprob_sum / count);
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
    response.body = render_answer(head_, finished_, usage(), prepared_.params.wants_logprobs,
                                  prepared_.model->vocabulary());
    exchange_->respond(std::move(response));
}

// The whole request fails with its first flight that does.
void Generation::fail(const ApiError& error) {
    cancel_flights();
    if (has_begun_) {
        event_.clear();
        append_error_event(event_, error, request_id_);
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
    usage.queue_ns = queue_ns_;
    usage.prefill_ns = prefill_ns_;
    usage.cached_tokens = cached_tokens_;
    for (const Prompt& prompt : prepared_.prompts)
        usage.prompt_tokens += prompt.ids->size();
    uint64_t first_ns = UINT64_MAX;
    uint64_t last_ns = 0;
    for (const auto& choice : choices_) {
        usage.completion_tokens += choice->token_count;
        usage.decode_iterations = std::max(usage.decode_iterations, choice->token_count);
        if (choice->first_token_ns == 0) continue;
        first_ns = std::min(first_ns, choice->first_token_ns);
        last_ns = std::max(last_ns, choice->last_token_ns);
    }
    if (last_ns == 0) return usage;
    usage.decode_ns = last_ns > decode_begun_ns_ ? last_ns - decode_begun_ns_ : 0;
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
