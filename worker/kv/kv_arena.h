// KvArena: the memory of a worker's KV cache. It belongs to the supervisor, which hands it to the
// next incarnation as garbage, so that what was put on huge pages stays there. Pages come as they
// are first used; where they are to be huge, they are made so then: that costs a tenth of the page
// faults it saves, and memory that is never used is never taken. Mapped before the worker confines
// itself; grow() by the loop thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "common/base/result.h"
#include "shm/segment/segment.h"

namespace bitnetd::worker {

class KvArena {
  public:
    // fd: an arena whose size is sealed. gather: put it on huge pages, unless it is on reserved
    // ones (shm::create_arena()) anyway.
    static Result<KvArena> map(int fd, bool gather);

    KvArena() = default;

    uint64_t bytes() const { return segment_.bytes(); }
    // What its pages are to be: "reserved", "transparent" or "off"; for the log.
    const char* huge_pages() const {
        return is_reserved_ ? "reserved" : gathers_ ? "transparent" : "off";
    }
    std::span<std::byte> memory() { return segment_.mutable_view(); }

    // Called before bytes below `end` are used: between steps, when a page is taken for the first
    // time, also by a sequence that decodes. The system calls are made once for every two megabytes
    // of the arena and incarnation.
    void grow(uint64_t end) noexcept;

  private:
    shm::Segment segment_;
    bool is_reserved_ = false;
    bool gathers_ = false;
    uint64_t grown_bytes_ = 0;  // a multiple of shm::kHugePageBytes
};

}  // namespace bitnetd::worker
