#include "common/gguf/cursor.h"

#include <algorithm>
#include <cstring>

namespace bitnetd::gguf {
namespace {
constexpr uint64_t kBufferBytes = 64 * 1024;
}

Cursor::Cursor(Source& source, uint64_t end)
    : source_(source), end_(std::min(end, source.bytes())) {}

// Reads the buffer anew from position_; something must remain.
Result<void> Cursor::fill() {
    buffer_.resize(static_cast<size_t>(std::min(kBufferBytes, remaining())));
    buffer_start_ = position_;
    return source_.read_at(position_, buffer_);
}

Result<void> Cursor::read(std::span<std::byte> out) {
    if (out.size() > remaining()) {
        return invalid("the file ends too early: " + std::to_string(out.size()) +
                       " bytes expected at byte " + std::to_string(position_) + ", " +
                       std::to_string(remaining()) + " are left");
    }
    while (!out.empty()) {
        if (position_ >= buffer_start_ + buffer_.size()) BITNETD_TRY(fill());
        const uint64_t at = position_ - buffer_start_;
        const size_t count = std::min(out.size(), buffer_.size() - static_cast<size_t>(at));
        std::memcpy(out.data(), buffer_.data() + at, count);
        out = out.subspan(count);
        position_ += count;
    }
    return {};
}

Result<std::string> Cursor::read_string(std::string_view what, uint64_t max) {
    BITNETD_ASSIGN(const uint64_t length, read<uint64_t>());
    if (length > remaining() || length > max) {
        return invalid(std::string(what) + " claims " + std::to_string(length) +
                       " bytes; at most " + std::to_string(std::min(max, remaining())) +
                       " are possible");
    }
    std::string text(static_cast<size_t>(length), '\0');
    BITNETD_TRY(read(std::as_writable_bytes(std::span(text))));
    return text;
}

}  // namespace bitnetd::gguf
