// The events of a streamed answer. Everything but the text is the same in all chunks of an answer,
// so it is rendered once; per step only the text is escaped and appended. Loop thread only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "supervisor/frontend/api/answer.h"

namespace bitnetd::frontend {

inline constexpr std::string_view kDoneEvent = "data: [DONE]\n\n";

class SseChunks {
  public:
    // With `include_usage` every chunk carries "usage": null.
    SseChunks(const AnswerHead& head, bool include_usage);

    void append_role(std::string& out, uint32_t index) const;  // chat: the first of a choice
    // `logprobs` is rendered JSON, empty for null. `text` must be valid UTF-8.
    void append_text(std::string& out, uint32_t index, std::string_view text,
                     std::string_view logprobs) const;
    void append_finish(std::string& out, uint32_t index, std::string_view finish_reason) const;
    void append_usage_chunk(std::string& out, const Usage& usage) const;

  private:
    void begin(std::string& out, uint32_t index) const;

    RouteKind route_;
    std::string head_;         // up to the choices' "["
    std::string_view suffix_;  // behind the choices' "]"
};

// {"error": ...} as the last event of a stream that failed.
void append_error_event(std::string& out, const ApiError& error, std::string_view request_id);

}  // namespace bitnetd::frontend
