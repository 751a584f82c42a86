#include "tests/bench/serve/answer_reader.h"

#include <charconv>
#include <cstring>
#include <nlohmann/json.hpp>

namespace bitnetd::bench {
namespace {

// What a JSON string says behind the first of `keys` (such as "text":") that is in the object,
// still escaped. Escaped quotes keep a key from being found inside a text.
std::string_view text_behind(std::string_view json, std::string_view key) {
    const void* found = memmem(json.data(), json.size(), key.data(), key.size());
    if (found == nullptr) return {};
    const size_t begin =
        static_cast<size_t>(static_cast<const char*>(found) - json.data()) + key.size();
    size_t end = begin;
    while (end < json.size() && json[end] != '"')
        end += json[end] == '\\' ? 2 : 1;
    return end < json.size() ? json.substr(begin, end - begin) : std::string_view();
}

std::string_view text_of(std::string_view json) {
    const std::string_view completion = text_behind(json, "\"text\":\"");
    return completion.empty() ? text_behind(json, "\"content\":\"") : completion;
}

bool equals_ignoring_case(std::string_view a, const char* lower) {
    return a.size() == std::strlen(lower) && strncasecmp(a.data(), lower, a.size()) == 0;
}

std::optional<uint64_t> number_of(std::string_view text) {
    uint64_t value = 0;
    const auto [stopped, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || stopped != text.data() + text.size()) return std::nullopt;
    return value;
}

}  // namespace

AnswerReader::AnswerReader() {
    llhttp_init(&parser_, HTTP_RESPONSE, &settings());
    parser_.data = this;
}

const llhttp_settings_t& AnswerReader::settings() {
    static const llhttp_settings_t shared = [] {
        llhttp_settings_t made;
        llhttp_settings_init(&made);
        made.on_header_field = [](llhttp_t* parser, const char* at, size_t bytes) noexcept {
            AnswerReader& reader = self(parser);
            if (reader.is_in_value_) reader.take_header();
            reader.name_.append(at, bytes);
            return 0;
        };
        made.on_header_value = [](llhttp_t* parser, const char* at, size_t bytes) noexcept {
            self(parser).is_in_value_ = true;
            self(parser).value_.append(at, bytes);
            return 0;
        };
        made.on_headers_complete = [](llhttp_t* parser) noexcept {
            AnswerReader& reader = self(parser);
            reader.take_header();
            reader.answer_.status = parser->status_code;
            return 0;
        };
        made.on_body = [](llhttp_t* parser, const char* at, size_t bytes) noexcept {
            self(parser).take_body({at, bytes});
            return 0;
        };
        made.on_message_complete = [](llhttp_t* parser) noexcept {
            AnswerReader& reader = self(parser);
            reader.is_complete_ = true;
            reader.may_go_on_ = llhttp_should_keep_alive(parser) != 0;
            return int{HPE_PAUSED};  // nothing may follow before the next request
        };
        return made;
    }();
    return shared;
}

void AnswerReader::begin(bool keeps_text, Histogram* gaps) {
    llhttp_reset(&parser_);
    events_.reset();
    answer_.reset();
    body_.clear();
    name_.clear();
    value_.clear();
    gaps_ = gaps;
    keeps_text_ = keeps_text;
    is_stream_ = is_done_ = is_complete_ = is_in_value_ = may_go_on_ = false;
}

bool AnswerReader::feed(std::string_view bytes, uint64_t now_ns) {
    now_ns_ = now_ns;
    const llhttp_errno_t error = llhttp_execute(&parser_, bytes.data(), bytes.size());
    if (error != HPE_OK && error != HPE_PAUSED) {
        const char* reason = llhttp_get_error_reason(&parser_);
        fail(std::string("malformed HTTP: ") + (reason != nullptr ? reason : "unknown"));
    }
    if (!is_complete_) return !answer_.failure.empty();
    if (llhttp_get_error_pos(&parser_) != bytes.data() + bytes.size()) {
        fail("bytes behind the end of the answer");
    }
    if (is_stream_) {
        if (!is_done_) fail("the stream ended without [DONE]");
    } else {
        take_whole_body();
    }
    return true;
}

void AnswerReader::end() {
    fail(answer_.status == 0 ? "the connection ended before an answer"
                             : "the connection ended within the answer");
}

void AnswerReader::take_header() {
    if (equals_ignoring_case(name_, "content-type")) {
        is_stream_ = std::string_view(value_).starts_with("text/event-stream");
    } else if (equals_ignoring_case(name_, "retry-after-ms")) {
        answer_.retry_after_ms = number_of(value_);
    } else if (equals_ignoring_case(name_, "retry-after") && !answer_.retry_after_ms) {
        answer_.retry_after_ms = number_of(value_);
        if (answer_.retry_after_ms) *answer_.retry_after_ms *= 1000;
    }
    name_.clear();
    value_.clear();
    is_in_value_ = false;
}

void AnswerReader::take_body(std::string_view bytes) {
    if (!is_stream_) {
        if (body_.size() + bytes.size() > kBodyBytesMax)
            return fail("the answer's body is too long");
        body_ += bytes;
        return;
    }
    while (const auto data = events_.next(bytes))
        take_event(*data);
    if (events_.is_broken()) fail("a line of the event stream is too long");
}

void AnswerReader::take_event(std::string_view data) {
    if (is_done_) return fail("an event behind [DONE]");
    if (data == "[DONE]") {
        is_done_ = true;
        return;
    }
    if (data.starts_with("{\"error\"")) {
        take_json(data);
        return fail("an error event: " + std::string(data.substr(0, 300)));
    }
    const std::string_view text = text_of(data);
    if (text.empty()) return take_json(data);  // a role, a finish reason, usage
    take_text(text);
    if (answer_.first_text_ns == 0) {
        answer_.first_text_ns = now_ns_;
    } else if (gaps_ != nullptr) {
        gaps_->record_ns(now_ns_ - answer_.last_text_ns);
    }
    answer_.last_text_ns = now_ns_;
    ++answer_.text_events;
}

void AnswerReader::take_whole_body() {
    take_json(body_);
    if (answer_.status == 200) take_text(text_of(body_));
}

void AnswerReader::take_text(std::string_view json_text) {
    if (keeps_text_) answer_.text += json_text;
}

void AnswerReader::take_json(std::string_view json) {
    const auto parsed = nlohmann::json::parse(json, nullptr, false);
    if (!parsed.is_object()) return;
    const auto error = parsed.find("error");
    if (error != parsed.end() && error->is_object()) {
        const auto code = error->find("code");
        if (code != error->end() && code->is_string()) answer_.error_code = *code;
    }
    const auto usage = parsed.find("usage");
    if (usage == parsed.end() || !usage->is_object()) return;
    const auto count = [](const nlohmann::json& object, const char* key) {
        const auto found = object.find(key);
        return found != object.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
    };
    Usage& out = answer_.usage.emplace();
    out.prompt_tokens = count(*usage, "prompt_tokens");
    out.output_tokens = count(*usage, "completion_tokens");
    const auto details = usage->find("prompt_tokens_details");
    if (details != usage->end()) out.cached_tokens = count(*details, "cached_tokens");
}

void AnswerReader::fail(std::string why) {
    if (answer_.failure.empty()) answer_.failure = std::move(why);
}

}  // namespace bitnetd::bench
