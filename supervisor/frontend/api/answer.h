// What an answer is made of, and its rendering as JSON in the shapes of the OpenAI API: the head
// that all parts share, usage, logprobs, whole answers. Events of a stream: sse_chunks.h. Pure
// functions; loop thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/text/vocabulary_image.h"
#include "supervisor/frontend/api/generation_params.h"
#include "supervisor/frontend/api/text_stream.h"

namespace bitnetd::frontend {

struct AnswerHead {
    RouteKind route = RouteKind::kChat;
    std::string id;  // "chatcmpl-..." or "cmpl-..."
    int64_t created_unix_s = 0;
    std::string model;
    std::string fingerprint;  // system_fingerprint
    uint64_t seed = 0;        // of choice 0
};

struct Usage {
    uint64_t prompt_tokens = 0;
    uint64_t completion_tokens = 0;
    uint64_t cached_tokens = 0;
    uint64_t queue_ns = 0;
    uint64_t prefill_ns = 0;
    uint64_t first_token_ns = 0;     // since the request was received
    uint64_t total_ns = 0;           // likewise, until now
    uint64_t decode_ns = 0;          // from the end of prefill to the last token
    uint64_t decode_iterations = 0;  // steps that drew tokens, of the choice with most
    uint64_t decoded_tokens = 0;     // all but the first of each choice, which ends prefill

    // What was used, whatever was preferred.
    std::string device;           // "cpu" or "cuda:N"; empty while no worker began
    bool device_changed = false;  // resumed on another one; `device` is where it began
    std::string quantization;
    Priority priority = Priority::kNormal;
};

struct FinishedChoice {
    uint32_t index = 0;
    std::string text;
    EndReason end = EndReason::kStop;  // or kLength, kTimeout
    std::vector<ScoredToken> scores;
};

// "stop" or "length": OpenAI has no third.
std::string_view finish_reason_of(EndReason reason);

double rate_per_second(uint64_t count, uint64_t ns);  // 0 when no time passed
double tokens_per_second(const Usage& usage);         // while decoding

// {"prompt_tokens": ..., "performance": {...}}
void append_usage(std::string& out, const Usage& usage);

// The value of a choice's "logprobs" for these tokens, in the shape of the route. `text_offset` is
// the number of characters of the choice's text before them, moved on behind them (completions
// only).
void append_logprobs(std::string& out, RouteKind route, const text::VocabularyView& vocabulary,
                     std::span<const ScoredToken> scores, uint64_t& text_offset);

// A whole answer of a request without stream.
std::string render_answer(const AnswerHead& head, std::span<const FinishedChoice> choices,
                          const Usage& usage, bool wants_logprobs,
                          const text::VocabularyView& vocabulary);

}  // namespace bitnetd::frontend
