#include "supervisor/frontend/http/head_scanner.h"

#include <limits>

#include "supervisor/frontend/http/chars.h"

namespace bitnetd::frontend::http {
namespace {

std::optional<Method> known_method(std::string_view name) {
    for (const Method method : {Method::kGet, Method::kPost, Method::kHead, Method::kOptions,
                                Method::kDelete, Method::kPut, Method::kPatch}) {
        if (name == to_string(method)) return method;
    }
    return std::nullopt;
}

// Only characters a target may have, and '%' always with two hexadecimal digits.
bool is_well_formed_target(std::string_view target) {
    for (size_t i = 0; i < target.size(); ++i) {
        if (!contains(kTargetChars, target[i])) return false;
        if (target[i] != '%') continue;
        if (i + 2 >= target.size()) return false;
        if (hex_value(target[i + 1]) < 0 || hex_value(target[i + 2]) < 0) return false;
    }
    return true;
}

// Bytes of "http://" or "https://" at the start; 0 when neither is there.
size_t scheme_bytes(std::string_view target) {
    for (const std::string_view scheme : {"http://", "https://"}) {
        if (equals_ignoring_case(target.substr(0, scheme.size()), scheme)) return scheme.size();
    }
    return 0;
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
    if (a.size() != b.size()) return false;
    for (size_t i = 0; i < a.size(); ++i) {
        if (to_lower(a[i]) != to_lower(b[i])) return false;
    }
    return true;
}

}  // namespace

void HeadScanner::reset() {
    head_ = Head{};
    refusal_ = nullptr;
    scanned_ = line_begin_ = 0;
    fields_ = 0;
    in_fields_ = absolute_target_ = other_coding_ = has_host_ = false;
}

HeadScanner::Outcome HeadScanner::refuse(const Refusal& why) {
    refusal_ = &why;
    return Outcome::kRefused;
}

HeadScanner::Outcome HeadScanner::scan(std::string_view bytes) {
    for (;;) {
        // The first control character decides, wherever a read ended: a limit before it, then it
        // itself. So a head cut into single bytes gets the verdict of the same head in one piece.
        const size_t stop = find_control(bytes, scanned_);
        if (const Refusal* why = over_limit(stop)) return refuse(*why);
        scanned_ = stop;
        if (stop == bytes.size()) return Outcome::kIncomplete;
        if (bytes[stop] == '\n') return refuse(refusals::kBareLf);
        if (bytes[stop] != '\r') return refuse(refusals::kControlCharacter);
        if (stop + 1 == bytes.size()) return Outcome::kIncomplete;
        if (bytes[stop + 1] != '\n') return refuse(refusals::kBareCr);

        const std::string_view line = bytes.substr(line_begin_, stop - line_begin_);
        if (line.empty() && (in_fields_ || part_ == Part::kTrailers)) {
            head_.bytes = stop + 2;
            if (const Refusal* why = judge_whole(bytes)) return refuse(*why);
            return Outcome::kComplete;
        }
        if (const Refusal* why = take_line(bytes, line)) return refuse(*why);
        line_begin_ = scanned_ = stop + 2;
    }
}

const Refusal* HeadScanner::over_limit(size_t end) const {
    const bool in_start_line = part_ == Part::kHead && !in_fields_;
    if (in_start_line && end > limits_.start_line_bytes_max) return &refusals::kStartLineTooLong;
    return end > limits_.head_bytes_max ? &refusals::kHeadTooLarge : nullptr;
}

const Refusal* HeadScanner::take_line(std::string_view bytes, std::string_view line) {
    if (part_ == Part::kHead && !in_fields_) {
        in_fields_ = true;
        return take_start_line(line);
    }
    if (++fields_ > limits_.fields_max) return &refusals::kTooManyFields;
    return take_field(bytes, line);
}

// METHOD SP target SP HTTP/1.x, with exactly one blank each time.
const Refusal* HeadScanner::take_start_line(std::string_view line) {
    const size_t first = line.find(' ');
    if (first == 0 || first == std::string_view::npos) return &refusals::kStartLine;
    const size_t second = line.find(' ', first + 1);
    if (second == std::string_view::npos) return &refusals::kStartLine;
    const std::string_view method = line.substr(0, first);
    const std::string_view target = line.substr(first + 1, second - first - 1);
    const std::string_view version = line.substr(second + 1);
    if (!all_in(kTokenChars, method)) return &refusals::kStartLine;

    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    if (version.size() != 8 || !version.starts_with("HTTP/") || !is_digit(version[5]) ||
        version[6] != '.' || !is_digit(version[7])) {
        return &refusals::kStartLine;
    }
    if (version[5] != '1' || version[7] > '1') return &refusals::kVersion;
    head_.minor_version = static_cast<uint8_t>(version[7] - '0');

    head_.method = known_method(method);
    if (!head_.method) return &refusals::kMethod;
    return take_target(target);
}

const Refusal* HeadScanner::take_target(std::string_view target) {
    if (target == "*") return head_.method == Method::kOptions ? nullptr : &refusals::kTarget;
    if (!is_well_formed_target(target)) return &refusals::kTarget;
    if (target.starts_with('/')) return nullptr;
    const size_t begin = scheme_bytes(target);
    if (begin == 0) return &refusals::kTarget;
    const std::string_view authority =
        target.substr(begin, target.find_first_of("/?", begin) - begin);
    if (authority.empty() || !all_in(kHostChars, authority)) return &refusals::kTarget;
    absolute_target_ = true;
    authority_ = {to_string(*head_.method).size() + 1 + begin, authority.size()};
    return nullptr;
}

const Refusal* HeadScanner::take_field(std::string_view bytes, std::string_view line) {
    if (line[0] == ' ' || line[0] == '\t') return &refusals::kFoldedLine;
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return &refusals::kFieldWithoutColon;
    if (colon == 0) return &refusals::kEmptyFieldName;
    const std::string_view name = line.substr(0, colon);
    if (name.back() == ' ' || name.back() == '\t') return &refusals::kSpaceBeforeColon;
    if (!all_in(kTokenChars, name)) return &refusals::kFieldName;
    const std::string_view value = trim(line.substr(colon + 1));
    if (equals_ignoring_case(name, "host")) return take_host(bytes, value);
    return take_framing_field(name, value);
}

const Refusal* HeadScanner::take_framing_field(std::string_view name, std::string_view value) {
    if (equals_ignoring_case(name, "content-length")) return take_length(value);
    if (equals_ignoring_case(name, "transfer-encoding")) {
        if (part_ == Part::kTrailers) return &refusals::kTrailerField;
        if (head_.chunked || other_coding_) return &refusals::kCodingRepeated;
        if (value.empty()) return &refusals::kCodingEmpty;
        head_.chunked = equals_ignoring_case(value, "chunked");
        other_coding_ = !head_.chunked;
    } else if (equals_ignoring_case(name, "connection")) {
        take_connection(value);
    } else if (equals_ignoring_case(name, "expect")) {
        const bool known = equals_ignoring_case(value, "100-continue");
        head_.expects_continue |= known;
        head_.expects_other |= !known;
    }
    return nullptr;
}

const Refusal* HeadScanner::take_length(std::string_view digits) {
    if (part_ == Part::kTrailers) return &refusals::kTrailerField;
    if (head_.content_length) return &refusals::kLengthRepeated;
    if (digits.empty()) return &refusals::kLengthInvalid;
    uint64_t length = 0;
    for (const char c : digits) {
        if (c < '0' || c > '9') return &refusals::kLengthInvalid;
        length = length * 10 + static_cast<uint64_t>(c - '0');  // right for up to 18 digits
    }
    head_.content_length = digits.size() > 18 ? std::numeric_limits<uint64_t>::max() : length;
    return nullptr;
}

const Refusal* HeadScanner::take_host(std::string_view bytes, std::string_view value) {
    if (part_ == Part::kTrailers) return &refusals::kTrailerField;
    if (has_host_) return &refusals::kHostRepeated;
    if (!all_in(kHostChars, value)) return &refusals::kHostInvalid;
    has_host_ = true;
    host_ = {value.empty() ? 0 : static_cast<size_t>(value.data() - bytes.data()), value.size()};
    return nullptr;
}

void HeadScanner::take_connection(std::string_view value) {
    while (!value.empty()) {
        const size_t comma = value.find(',');
        const std::string_view option = trim(value.substr(0, comma));
        head_.wants_close |= equals_ignoring_case(option, "close");
        head_.wants_keep_alive |= equals_ignoring_case(option, "keep-alive");
        if (comma == std::string_view::npos) return;
        value.remove_prefix(comma + 1);
    }
}

// What only the complete head shows.
const Refusal* HeadScanner::judge_whole(std::string_view bytes) {
    if (part_ == Part::kTrailers) return nullptr;
    const bool coded = head_.chunked || other_coding_;
    if (head_.minor_version > 0 && !has_host_) return &refusals::kHostMissing;
    if (coded && head_.content_length) return &refusals::kCodingAndLength;
    if (coded && head_.minor_version == 0) return &refusals::kCodingInHttp10;
    if (other_coding_) return &refusals::kCoding;
    if (absolute_target_ && has_host_ &&
        !equal_ignoring_case(bytes.substr(authority_.begin, authority_.bytes),
                             bytes.substr(host_.begin, host_.bytes))) {
        return &refusals::kHostDiffers;
    }
    return nullptr;
}

}  // namespace bitnetd::frontend::http
