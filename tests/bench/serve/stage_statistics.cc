#include "tests/bench/serve/stage_statistics.h"

#include <algorithm>

#include "common/base/clock.h"

namespace bitnetd::bench {
namespace {

constexpr uint64_t kNever = UINT64_MAX;

uint64_t since(uint64_t begin_ns, uint64_t now_ns) {
    return now_ns > begin_ns ? now_ns - begin_ns : 0;
}

// The share of from..to that lies within begin..end; a moment lies within or not.
double share_within(uint64_t from, uint64_t to, uint64_t begin, uint64_t end) {
    if (from >= to) return to >= begin && to < end ? 1 : 0;
    const uint64_t first = std::max(from, begin);
    const uint64_t last = std::min(to, end);
    return first < last ? static_cast<double>(last - first) / static_cast<double>(to - from) : 0;
}

}  // namespace

StageStatistics::StageStatistics(const Stage& stage, uint64_t begin_ns, JudgeRules rules)
    : rules_(rules),
      begin_ns_(begin_ns + stage.warmup_ns),
      end_ns_(stage.duration_ns == 0 ? kNever : begin_ns_ + stage.duration_ns),
      client_tokens_(stage.clients) {}

size_t StageStatistics::add_class(std::string name) {
    classes.push_back({std::move(name), {}, {}});
    return classes.size() - 1;
}

void StageStatistics::sent(const Job& job) {
    if (!is_counted(job)) return;
    late.record_ns(since(job.due_ns, job.sent_ns));
    if (job.attempt == 1) ++retry.retried_first;
}

Outcome StageStatistics::take(const Job& job, const Answer& answer, uint64_t now_ns,
                              std::span<const size_t> in_classes) {
    std::string reason;
    const Outcome outcome = judge(answer, job, reason);
    if (outcome == Outcome::kFailed) {
        ++errors;
        count_reason(reasons, reason);
    }
    if (outcome == Outcome::kAnswered) count_rates(job, answer, now_ns);
    if (!is_counted(job)) return outcome;
    switch (outcome) {
        case Outcome::kAnswered:
            ++answered;
            if (job.attempt == 1) ++retry.accepted_first;
            take_answer(job, answer, now_ns, in_classes);
            break;
        case Outcome::kRefused:
            ++refused;
            if (job.attempt == 0) ++retry.refused_first;
            refuse.record_ns(since(job.sent_ns, now_ns));
            count_reason(refusals, reason);
            break;
        case Outcome::kFailed:
            ++failed;
            break;
    }
    return outcome;
}

// 429 and 503 are answers of a good host if they say when to come back.
Outcome StageStatistics::judge(const Answer& answer, const Job& job, std::string& reason) const {
    reason = std::to_string(answer.status) + " " + answer.error_code;
    if (!answer.failure.empty()) {
        reason = answer.failure;
        return Outcome::kFailed;
    }
    if (answer.status == 429 || answer.status == 503) {
        if (answer.retry_after_ms) return Outcome::kRefused;
        reason += " without Retry-After";
        return Outcome::kFailed;
    }
    if (answer.status == 408 && rules_.timeout_asked) return Outcome::kRefused;
    if (answer.status != 200) return Outcome::kFailed;
    if (!answer.usage) {
        reason = "an answer without usage";
        return Outcome::kFailed;
    }
    const uint64_t got = answer.usage->output_tokens;
    const bool is_full = rules_.context == 0 || answer.usage->prompt_tokens + got >= rules_.context;
    if (got == job.facts.output_tokens || (got < job.facts.output_tokens && is_full) ||
        rules_.timeout_asked) {
        return Outcome::kAnswered;
    }
    reason = "more or fewer tokens than asked for";
    return Outcome::kFailed;
}

void StageStatistics::take_answer(const Job& job, const Answer& answer, uint64_t now_ns,
                                  std::span<const size_t> in_classes) {
    const uint64_t tokens = answer.usage->output_tokens;
    output_tokens_counted += tokens;
    text_events += answer.text_events;
    const uint64_t whole_ns = since(job.due_ns, now_ns);
    whole.record_ns(whole_ns);
    const bool has_text = answer.first_text_ns != 0;
    const uint64_t first_ns = since(job.due_ns, answer.first_text_ns);
    if (has_text) first_text.record_ns(first_ns);
    if (has_text && tokens > 1) {
        per_token.record_ns((answer.last_text_ns - answer.first_text_ns) / (tokens - 1));
    }
    for (const size_t index : in_classes) {
        if (has_text) classes[index].first_text.record_ns(first_ns);
        if (tokens > 0) classes[index].per_token.record_ns(whole_ns / tokens);
    }
}

void StageStatistics::count_rates(const Job& job, const Answer& answer, uint64_t now_ns) {
    const bool has_text = answer.first_text_ns != 0;
    const uint64_t from = has_text ? answer.first_text_ns : job.sent_ns;
    const uint64_t to = has_text ? answer.last_text_ns : now_ns;
    const double tokens = static_cast<double>(answer.usage->output_tokens) *
                          share_within(from, to, begin_ns_, end_ns_);
    output_tokens_ += tokens;
    if (job.client < client_tokens_.size()) client_tokens_[job.client] += tokens;
    if (now_ns >= begin_ns_ && now_ns < end_ns_) ++answers_in_window_;
    if (from < begin_ns_ || from >= end_ns_) return;
    prompt_tokens_ += static_cast<double>(answer.usage->prompt_tokens);
    cached_tokens_ += static_cast<double>(answer.usage->cached_tokens);
}

void StageStatistics::fail(const std::string& reason) {
    ++errors;
    count_reason(reasons, reason);
}

// A server that makes up reasons without end does not make our table grow.
void StageStatistics::count_reason(std::map<std::string, uint64_t>& table,
                                   const std::string& reason) {
    const bool is_known = table.contains(reason);
    ++table[is_known || table.size() < kReasonsMax ? reason : "others"];
}

void StageStatistics::note_open(uint64_t in_flight, uint64_t streaming) {
    in_flight_max = std::max(in_flight_max, in_flight);
    streaming_max = std::max(streaming_max, streaming);
}

void StageStatistics::end(uint64_t now_ns) {
    end_ns_ = std::max(begin_ns_ + 1, std::min(end_ns_, now_ns));
}

double StageStatistics::seconds() const noexcept {
    return static_cast<double>(end_ns_ - begin_ns_) / static_cast<double>(kNsPerS);
}

double StageStatistics::first_text_spread() const noexcept {
    const double median = first_text.percentile_ms(0.5);
    return median > 0 ? first_text.max_ms() / median : 0;
}

double StageStatistics::client_fairness() const noexcept {
    double sum = 0, squares = 0;
    for (const double tokens : client_tokens_) {
        sum += tokens;
        squares += tokens * tokens;
    }
    return squares > 0 ? sum * sum / (static_cast<double>(client_tokens_.size()) * squares) : 0;
}

}  // namespace bitnetd::bench
