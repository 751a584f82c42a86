#include "supervisor/frontend/http/chunked_decoder.h"

#include <algorithm>

#include "supervisor/frontend/http/chars.h"

namespace bitnetd::frontend::http {
namespace {

// A size line is meant to be a few digits. Extensions are ignored by everyone, so a sender that has
// many of them only wants us busy: the bounds are far above any honest use (a signature per chunk).
constexpr size_t kSizeLineBytesMax = 512;
constexpr size_t kSizeDigitsMax = 15;  // below 2^60, so sums with a body size cannot overflow
constexpr size_t kExtensionBytesMax = 64 * 1024;

// Takes a token from the front; false when there is none.
bool skip_token(std::string_view& text) {
    size_t n = 0;
    while (n < text.size() && contains(kTokenChars, text[n]))
        ++n;
    text.remove_prefix(n);
    return n > 0;
}

// Takes a quoted string from the front; false when it does not end. No control character is left.
bool skip_quoted(std::string_view& text) {
    for (size_t i = 1; i < text.size(); ++i) {
        if (text[i] == '\\')
            ++i;
        else if (text[i] == '"') {
            text.remove_prefix(i + 1);
            return true;
        }
    }
    return false;
}

// *( ";" token [ "=" ( token / quoted-string ) ] ), without the blanks that senders must not send.
bool is_extension_list(std::string_view text) {
    while (!text.empty()) {
        if (text.front() != ';') return false;
        text.remove_prefix(1);
        if (!skip_token(text)) return false;
        if (!text.starts_with('=')) continue;
        text.remove_prefix(1);
        const bool quoted = text.starts_with('"');
        if (!(quoted ? skip_quoted(text) : skip_token(text))) return false;
    }
    return true;
}

}  // namespace

void ChunkedDecoder::reset() {
    trailers_.reset();
    outcome_ = Outcome::kIncomplete;
    step_ = Step::kSizeLine;
    data_left_ = 0;
    extension_bytes_ = 0;
    refusal_ = nullptr;
}

size_t ChunkedDecoder::refuse(const Refusal& why) {
    outcome_ = Outcome::kRefused;
    refusal_ = &why;
    return 0;
}

size_t ChunkedDecoder::decode(std::string_view in, std::string& body) {
    size_t taken = 0;
    while (outcome_ == Outcome::kIncomplete && taken < in.size()) {
        const std::string_view rest = in.substr(taken);
        size_t step_bytes = 0;
        switch (step_) {
            case Step::kSizeLine:
                step_bytes = take_size_line(rest, body.size());
                break;
            case Step::kData:
                step_bytes = take_data(rest, body);
                break;
            case Step::kDataEnd:
                step_bytes = take_data_end(rest);
                break;
            case Step::kTrailers:
                step_bytes = take_trailers(rest);
                break;
        }
        taken += step_bytes;
        if (step_bytes == 0) break;
    }
    return taken;
}

size_t ChunkedDecoder::take_size_line(std::string_view in, size_t body_bytes) {
    const size_t stop = find_control(in, 0);
    if (stop > kSizeLineBytesMax) return refuse(refusals::kChunkExtension);
    if (stop == in.size()) return 0;
    if (in[stop] == '\n') return refuse(refusals::kBareLf);
    if (in[stop] != '\r') return refuse(refusals::kChunkSize);
    if (stop + 1 == in.size()) return 0;
    if (in[stop + 1] != '\n') return refuse(refusals::kBareCr);
    if (const Refusal* why = parse_size_line(in.substr(0, stop), body_bytes)) return refuse(*why);
    step_ = data_left_ > 0 ? Step::kData : Step::kTrailers;
    return stop + 2;
}

const Refusal* ChunkedDecoder::parse_size_line(std::string_view line, size_t body_bytes) {
    size_t digits = 0;
    uint64_t size = 0;
    while (digits < line.size() && hex_value(line[digits]) >= 0) {
        if (digits == kSizeDigitsMax) return &refusals::kChunkSize;
        size = size * 16 + static_cast<uint64_t>(hex_value(line[digits]));
        ++digits;
    }
    if (digits == 0) return &refusals::kChunkSize;
    const std::string_view extensions = line.substr(digits);
    if (!extensions.empty() && extensions.front() != ';') return &refusals::kChunkSize;
    extension_bytes_ += extensions.size();
    if (extension_bytes_ > kExtensionBytesMax || !is_extension_list(extensions)) {
        return &refusals::kChunkExtension;
    }
    if (body_bytes + size > limits_.body_bytes_max) return &refusals::kBodyTooLarge;
    data_left_ = size;
    return nullptr;
}

size_t ChunkedDecoder::take_data(std::string_view in, std::string& body) {
    const size_t bytes = static_cast<size_t>(std::min<uint64_t>(data_left_, in.size()));
    body.append(in.substr(0, bytes));
    data_left_ -= bytes;
    if (data_left_ == 0) step_ = Step::kDataEnd;
    return bytes;
}

size_t ChunkedDecoder::take_data_end(std::string_view in) {
    if (in[0] != '\r') return refuse(refusals::kChunkEnd);
    if (in.size() < 2) return 0;
    if (in[1] != '\n') return refuse(refusals::kChunkEnd);
    step_ = Step::kSizeLine;
    return 2;
}

size_t ChunkedDecoder::take_trailers(std::string_view in) {
    switch (trailers_.scan(in)) {
        case HeadScanner::Outcome::kIncomplete:
            return 0;
        case HeadScanner::Outcome::kRefused:
            return refuse(trailers_.refusal());
        case HeadScanner::Outcome::kComplete:
            break;
    }
    outcome_ = Outcome::kComplete;
    return trailers_.head().bytes;
}

}  // namespace bitnetd::frontend::http
