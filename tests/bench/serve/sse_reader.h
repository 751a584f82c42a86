// The data lines of a text/event-stream that comes in pieces of any size. Comments and other fields
// are passed over. A line within one piece is not copied, so that reading costs no allocation.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace bitnetd::bench {

class SseReader {
  public:
    static constexpr size_t kLineBytesMax = size_t{4} << 20;

    // The next data line's value out of `piece`, which is shortened by what was read; nothing when
    // `piece` is used up: give the next one. Valid until the next call, and as long as the piece.
    std::optional<std::string_view> next(std::string_view& piece);

    // A line was longer than kLineBytesMax: nothing more is read.
    bool is_broken() const noexcept { return is_broken_; }
    void reset() noexcept;

  private:
    // One whole line without its end, or nothing.
    std::optional<std::string_view> next_line(std::string_view& piece);

    std::string begun_;           // the part of a line that earlier pieces had
    bool is_begun_used_ = false;  // it was given out as a whole line
    bool is_broken_ = false;
};

}  // namespace bitnetd::bench
