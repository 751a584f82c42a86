// Renderer: the shapes of one route. A Generation decides what happens when; what the client reads
// of it is written here, as a whole answer or as the events of a stream. One per generation; loop
// thread only.
//   openai_renderer.h      chat and completions      inference_renderer.h      /v1/inference
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "supervisor/frontend/api/answer.h"
#include "supervisor/frontend/api/errors.h"
#include "supervisor/frontend/dispatch/flight.h"

namespace bitnetd::frontend {

// Text of one choice that became certain in one turn of the loop.
struct TextPiece {
    uint32_t index = 0;  // of the choice
    std::string_view text;
    std::span<const ScoredToken> scores;  // with logprobs
    uint64_t token_count = 0;             // of the choice so far
    uint64_t last_token_ns = 0;           // monotonic; when the newest of them came
};

class Renderer {
  public:
    virtual ~Renderer() = default;

    // A worker began with the request; once, before any text.
    virtual void on_started(const FlightStart&) {}

    // The body of an answer without stream.
    virtual std::string whole(std::span<const FinishedChoice> choices, const Usage& usage) = 0;

    // Events of a stream, appended to `out`, in this order per choice.
    virtual void begin_choice(std::string& out, uint32_t index, std::string_view echo) = 0;
    virtual void append_text(std::string& out, const TextPiece& piece) = 0;
    virtual void end_choice(std::string& out, uint32_t index, EndReason reason) = 0;
    // Behind the last choice; nothing follows.
    virtual void end(std::string& out, const Usage& usage) = 0;
    // Instead of what would have followed.
    virtual void fail(std::string& out, const ApiError& error) = 0;
};

}  // namespace bitnetd::frontend
