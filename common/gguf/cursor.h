// Cursor: reads a source from front to back through a small buffer, and knows how much is left.
// Every read checks first; lengths taken from the file are compared with remaining() before they
// are used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/base/source.h"

namespace bitnetd::gguf {

class Cursor {
  public:
    // Reads no further than `end` bytes into the source.
    Cursor(Source& source, uint64_t end);

    uint64_t position() const { return position_; }
    uint64_t remaining() const { return end_ - position_; }

    Result<void> read(std::span<std::byte> out);

    template <typename T>
    requires std::is_trivially_copyable_v<T> Result<T> read() {
        std::byte bytes[sizeof(T)];
        BITNETD_TRY(read(std::span(bytes)));
        return load<T>(bytes);
    }

    // A length and that many bytes, at most `max`. `what` names it in an error.
    Result<std::string> read_string(std::string_view what, uint64_t max);

  private:
    Result<void> fill();

    Source& source_;
    uint64_t end_;
    uint64_t position_ = 0;
    std::vector<std::byte> buffer_;  // bytes of the source from buffer_start_
    uint64_t buffer_start_ = 0;
};

}  // namespace bitnetd::gguf
