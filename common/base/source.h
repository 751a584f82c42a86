// Where model bytes come from: a bounded run of bytes that is read at offsets, by any thread. The
// file is never mapped: one that is truncated while we read is an error here and a SIGBUS there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "common/base/fd.h"
#include "common/base/result.h"

namespace bitnetd {

class Source {
  public:
    virtual ~Source() = default;

    // Fixed when the source is opened.
    virtual uint64_t bytes() const = 0;

    // Fills `out` with the bytes at `offset`. The whole range must lie within bytes(), else it is
    // an error and `out` is unspecified.
    virtual Result<void> read_at(uint64_t offset, std::span<std::byte> out) = 0;
};

// Reads an open regular file with pread. Does not own the descriptor.
class FdSource final : public Source {
  public:
    // The error says so when `fd` is no regular file.
    static Result<FdSource> open(int fd);

    uint64_t bytes() const override { return bytes_; }
    Result<void> read_at(uint64_t offset, std::span<std::byte> out) override;

  private:
    FdSource(int fd, uint64_t bytes) : fd_(fd), bytes_(bytes) {}

    int fd_;
    uint64_t bytes_;
};

// The same for a descriptor that the source owns.
Result<std::unique_ptr<Source>> own_file(Fd fd);

// Memory that stays valid and unchanged as long as the source is used.
class MemorySource final : public Source {
  public:
    explicit MemorySource(std::span<const std::byte> memory) : memory_(memory) {}

    uint64_t bytes() const override { return memory_.size(); }
    Result<void> read_at(uint64_t offset, std::span<std::byte> out) override;

  private:
    std::span<const std::byte> memory_;
};

}  // namespace bitnetd
