#include "tests/bench/serve/sse_reader.h"

namespace bitnetd::bench {

std::optional<std::string_view> SseReader::next(std::string_view& piece) {
    constexpr std::string_view kField = "data:";
    while (auto line = next_line(piece)) {
        if (!line->starts_with(kField)) continue;
        line->remove_prefix(kField.size());
        if (line->starts_with(' ')) line->remove_prefix(1);
        return line;
    }
    return std::nullopt;
}

std::optional<std::string_view> SseReader::next_line(std::string_view& piece) {
    if (is_begun_used_) {
        begun_.clear();
        is_begun_used_ = false;
    }
    if (is_broken_) return std::nullopt;
    const size_t end = piece.find('\n');
    const std::string_view part = piece.substr(0, end);
    if (begun_.size() + part.size() > kLineBytesMax) {
        is_broken_ = true;
        return std::nullopt;
    }
    if (end == piece.npos) {
        begun_ += part;
        piece = {};
        return std::nullopt;
    }
    piece.remove_prefix(end + 1);
    std::string_view line = part;
    if (!begun_.empty()) {
        line = begun_ += part;
        is_begun_used_ = true;
    }
    if (line.ends_with('\r')) line.remove_suffix(1);
    return line;
}

void SseReader::reset() noexcept {
    begun_.clear();
    is_begun_used_ = false;
    is_broken_ = false;
}

}  // namespace bitnetd::bench
