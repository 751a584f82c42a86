#include "supervisor/frontend/http/request_parser.h"

#include <algorithm>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "supervisor/frontend/http/head_parser.h"

namespace bitnetd::frontend::http {
namespace {

constexpr size_t kKeptBodyBytes = 64 * 1024;        // larger buffers are returned after the request
constexpr size_t kReservedBodyBytes = 1024 * 1024;  // at most this on the strength of a promise

}  // namespace

void RequestParser::next() {
    scanner_.reset();
    chunks_.reset();
    state_ = State::kHead;
    skipped_empty_line_ = false;
    refusal_ = nullptr;
    request_.method = Method::kGet;
    request_.path.clear();
    request_.query.clear();
    request_.headers.clear();
    request_.request_id.clear();
    request_.received_ns = 0;
    if (request_.body.capacity() > kKeptBodyBytes) std::string().swap(request_.body);
    request_.body.clear();
}

bool RequestParser::keeps_alive() const {
    return !head().wants_close && (head().minor_version > 0 || head().wants_keep_alive);
}

void RequestParser::refuse(const Refusal& why) {
    state_ = State::kRefused;
    refusal_ = &why;
}

size_t RequestParser::parse(std::string_view in) {
    BITNETD_DCHECK(state_ == State::kHead || state_ == State::kBody);
    size_t taken = 0;
    if (state_ == State::kHead) taken = parse_head_part(in);
    if (state_ == State::kBody) taken += parse_body_part(in.substr(taken));
    return taken;
}

size_t RequestParser::parse_head_part(std::string_view in) {
    // One empty line before a request is allowed: old clients send it behind a body.
    size_t skipped = 0;
    if (!skipped_empty_line_ && in.starts_with('\r')) {
        if (in.size() == 1) return 0;
        if (in[1] == '\n') {
            skipped_empty_line_ = true;
            skipped = 2;
        }
    }
    const std::string_view bytes = in.substr(skipped);
    const HeadScanner::Outcome outcome = scanner_.scan(bytes);
    request_.method = scanner_.head().method.value_or(Method::kGet);
    if (outcome == HeadScanner::Outcome::kRefused) refuse(scanner_.refusal());
    if (outcome != HeadScanner::Outcome::kComplete) return skipped;

    const size_t head_bytes = scanner_.head().bytes;
    request_.received_ns = monotonic_ns();
    if (head().content_length == UINT64_MAX) {
        refuse(refusals::kBodyTooLarge);  // llhttp could not even count it
    } else if (!parse_head(bytes.substr(0, head_bytes), head(), request_)) {
        refuse(refusals::kParsersDisagree);
    } else if (const Refusal* why = judge_head()) {
        refuse(*why);
    } else {
        const uint64_t length = head().content_length.value_or(0);
        state_ = head().chunked || length > 0 ? State::kBody : State::kComplete;
        request_.body.reserve(static_cast<size_t>(std::min<uint64_t>(length, kReservedBodyBytes)));
    }
    return skipped + head_bytes;
}

// What is wrong with a well-formed head before its body has come.
const Refusal* RequestParser::judge_head() const {
    if (head().content_length.value_or(0) > limits_.body_bytes_max) return &refusals::kBodyTooLarge;
    // HTTP/1.0 knows no expectations.
    if (head().expects_other && head().minor_version > 0) return &refusals::kExpectation;
    if (request_.method == Method::kPost && !head().chunked && !head().content_length) {
        return &refusals::kLengthRequired;
    }
    return nullptr;
}

size_t RequestParser::parse_body_part(std::string_view in) {
    if (!head().chunked) {
        const uint64_t missing = *head().content_length - request_.body.size();
        const size_t bytes = static_cast<size_t>(std::min<uint64_t>(missing, in.size()));
        request_.body.append(in.substr(0, bytes));
        if (bytes == missing) state_ = State::kComplete;
        return bytes;
    }
    const size_t bytes = chunks_.decode(in, request_.body);
    if (chunks_.outcome() == ChunkedDecoder::Outcome::kComplete) state_ = State::kComplete;
    if (chunks_.outcome() == ChunkedDecoder::Outcome::kRefused) refuse(chunks_.refusal());
    return bytes;
}

}  // namespace bitnetd::frontend::http
