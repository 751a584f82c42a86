// AnswerReader: the bytes of one HTTP response after the other become Answers. Streamed or whole,
// completions or chat. Per token it allocates nothing and parses no JSON: the text of an event is
// found by its key.
#pragma once

#include <llhttp.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "tests/bench/serve/answer.h"
#include "tests/bench/serve/histogram.h"
#include "tests/bench/serve/sse_reader.h"

namespace bitnetd::bench {

class AnswerReader {
  public:
    static constexpr size_t kBodyBytesMax = size_t{64} << 20;

    AnswerReader();
    AnswerReader(const AnswerReader&) = delete;
    AnswerReader& operator=(const AnswerReader&) = delete;

    // Before each request. `gaps` gets the time between two text events; null: nobody asks.
    void begin(bool keeps_text, Histogram* gaps);

    // True: the answer is complete, or its `failure` says why it never will be.
    bool feed(std::string_view bytes, uint64_t now_ns);
    // The connection ended. Always completes the answer.
    void end();

    Answer& answer() noexcept { return answer_; }
    // The body of an answer that was no stream; valid until begin().
    const std::string& body() const noexcept { return body_; }
    // Whether the connection may carry another request.
    bool may_go_on() const noexcept { return may_go_on_; }

  private:
    static const llhttp_settings_t& settings();
    static AnswerReader& self(llhttp_t* parser) noexcept {
        return *static_cast<AnswerReader*>(parser->data);
    }
    void take_header();
    void take_body(std::string_view bytes);
    void take_event(std::string_view data);
    void take_whole_body();
    void take_text(std::string_view json_text);
    void fail(std::string why);
    // usage, or error.code, of a JSON text; both are absent when it is none.
    void take_json(std::string_view json);

    llhttp_t parser_{};
    SseReader events_;
    Answer answer_;
    Histogram* gaps_ = nullptr;
    std::string name_, value_;  // of the header that is being read
    std::string body_;
    uint64_t now_ns_ = 0;
    bool keeps_text_ = false;
    bool is_stream_ = false;
    bool is_done_ = false;  // [DONE] was seen
    bool is_complete_ = false;
    bool is_in_value_ = false;
    bool may_go_on_ = false;
};

}  // namespace bitnetd::bench
