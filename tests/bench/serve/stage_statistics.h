// StageStatistics: what is known of one stage, in memory that does not grow with the requests.
//
// Latencies count what was due within the window (after the warm-up, before the end), until its end
// whenever that came. Rates count what happened within the window; the tokens of an answer that was
// streamed across its border count in proportion.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "tests/bench/serve/answer.h"
#include "tests/bench/serve/histogram.h"
#include "tests/bench/serve/stage.h"

namespace bitnetd::bench {

enum class Outcome : uint8_t { kAnswered, kRefused, kFailed };

// What of the run decides how an answer is judged.
struct JudgeRules {
    uint32_t context = 0;  // an answer may be shorter than asked for when it is full; 0: unknown
    bool timeout_asked = false;  // 408, and short answers, are then what was asked for
};

// Latencies of a part of the requests: short ones, those of a priority.
struct ClassStatistics {
    std::string name;
    Histogram first_text;
    Histogram per_token;  // due to end, divided by the tokens of the answer
};

struct RetryCounts {
    uint64_t refused_first = 0;   // first attempts
    uint64_t retried_first = 0;   // of these, tried again exactly when they were told to
    uint64_t accepted_first = 0;  // of these, answered
    uint64_t given_up = 0;        // refused as often as allowed
    uint64_t cut = 0;             // told to come back after the stage's end
};

class StageStatistics {
  public:
    static constexpr size_t kReasonsMax = 32;

    StageStatistics(const Stage& stage, uint64_t begin_ns, JudgeRules rules);

    // Classes by which take() is told to sort; before the first job.
    size_t add_class(std::string name);

    bool is_counted(const Job& job) const noexcept {
        return job.due_ns >= begin_ns_ && job.due_ns < end_ns_;
    }
    // At each moment of sending.
    void sent(const Job& job);
    // At the end of each attempt. `classes`: indices from add_class().
    Outcome take(const Job& job, const Answer& answer, uint64_t now_ns,
                 std::span<const size_t> classes);
    // A request that could not even be sent.
    void fail(const std::string& reason);
    void note_open(uint64_t in_flight, uint64_t streaming);
    // Nothing happens any more.
    void end(uint64_t now_ns);

    double seconds() const noexcept;  // of the window
    double output_tokens_s() const noexcept { return output_tokens_ / seconds(); }
    double prompt_tokens_s() const noexcept { return prompt_tokens_ / seconds(); }
    double cached_tokens_s() const noexcept { return cached_tokens_ / seconds(); }
    double answers_s() const noexcept {
        return static_cast<double>(answers_in_window_) / seconds();
    }
    // Largest over median time to the first text; 0 when there is none.
    double first_text_spread() const noexcept;
    // Jain's index of the tokens that each client of a closed loop got: 1 when all got the same,
    // 1/N when one got all. 0 for an open loop.
    double client_fairness() const noexcept;

    // Attempts counted, by outcome.
    uint64_t answered = 0, refused = 0, failed = 0;
    // Whenever they happened, warm-up included: none is good.
    uint64_t errors = 0;
    std::map<std::string, uint64_t> refusals;  // by "503 queue_full"
    std::map<std::string, uint64_t> reasons;   // of errors
    RetryCounts retry;
    uint64_t output_tokens_counted = 0;  // of all counted answers
    uint64_t text_events = 0;
    uint64_t in_flight_max = 0, streaming_max = 0;
    Histogram first_text;  // due to the first text
    Histogram gaps;        // between two text events of one answer
    Histogram per_token;   // first to last text, divided by the tokens but one
    Histogram whole;       // due to the end of the answer
    Histogram refuse;      // sent to the end of the refusal
    Histogram late;        // due to sent: the generator's own fault
    std::vector<ClassStatistics> classes;

  private:
    Outcome judge(const Answer& answer, const Job& job, std::string& reason) const;
    void take_answer(const Job& job, const Answer& answer, uint64_t now_ns,
                     std::span<const size_t> in_classes);
    void count_rates(const Job& job, const Answer& answer, uint64_t now_ns);
    void count_reason(std::map<std::string, uint64_t>& table, const std::string& reason);

    const JudgeRules rules_;
    const uint64_t begin_ns_;
    uint64_t end_ns_;
    uint64_t answers_in_window_ = 0;
    double output_tokens_ = 0, prompt_tokens_ = 0, cached_tokens_ = 0;  // within the window
    std::vector<double> client_tokens_;
};

}  // namespace bitnetd::bench
