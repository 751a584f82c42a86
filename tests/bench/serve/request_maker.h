// RequestMaker: what the n-th request of a run asks for, and its bytes. Both depend on the seed and
// on n alone, so that runs can be repeated and answers compared, whoever else is there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/bench/serve/length_distribution.h"

namespace bitnetd::bench {

enum class Route : uint8_t { kCompletions, kChat };

// What all requests of a run have in common.
struct RequestPlan {
    LengthDistribution prompt_tokens, output_tokens;
    std::vector<Route> routes = {Route::kCompletions};  // drawn evenly
    std::vector<std::string> priorities;                // drawn evenly; empty: none is sent
    uint32_t shared_prefix = 0;  // so many tokens (words) at the front are the same for all
    uint32_t vocabulary = 1000;  // token ids are below
    uint32_t context = 0;        // prompt and output are cut to fit; 0: it is not known
    std::string model;           // empty: the server's default
    std::string host;            // the header
    double temperature = 0;
    uint64_t timeout_ms = 0;  // 0: none is sent
    uint64_t seed = 1;
    bool stream = true;
    bool text_prompts = false;       // completions say words too, instead of token ids
    std::vector<std::string> words;  // what prompts of text are made of; may not be empty
};

struct RequestFacts {
    uint64_t number = 0;
    uint32_t prompt_tokens = 0;  // of a text: words
    uint32_t output_tokens = 0;
    Route route = Route::kCompletions;
    size_t priority = 0;  // index into RequestPlan::priorities
};

// The words of a text, or of a small built-in one.
std::vector<std::string> words_of(std::string_view text);
std::string_view builtin_text();

class RequestMaker {
  public:
    explicit RequestMaker(RequestPlan plan);

    const RequestPlan& plan() const noexcept { return plan_; }
    RequestFacts facts(uint64_t number) const;
    // Requests differ in length, and this is one of the longer half.
    bool has_lengths() const noexcept {
        return !plan_.prompt_tokens.is_fixed() || !plan_.output_tokens.is_fixed();
    }
    bool is_long(const RequestFacts& facts) const noexcept {
        return facts.prompt_tokens + facts.output_tokens >
               plan_.prompt_tokens.median() + plan_.output_tokens.median();
    }
    // The whole HTTP request, in place of what was in `out`.
    void write(const RequestFacts& facts, std::string& out);

  private:
    void append_ids(const RequestFacts& facts, std::string& out) const;
    void append_words(const RequestFacts& facts, std::string& out) const;

    RequestPlan plan_;
    std::vector<std::string> json_words_;  // escaped, without quotes, with a blank behind
    std::vector<uint32_t> prefix_;         // what all prompts begin with: ids, or picks of words
    std::string common_;                   // the members that are the same in every body
    std::string body_;                     // scratch
};

}  // namespace bitnetd::bench
