// The producer's end of a ring. One per ring; used by one thread of the process that owns the tail.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "shm/ring/ring.h"

namespace bitnetd::shm {

class RingWriter {
  public:
    // The memory must stay mapped for as long as the writer is used; moving its Segment is fine.
    // kInvalid when it is not a ring of this build's ABI, or its indices make no sense.
    static Result<RingWriter> open(Segment& segment);
    static Result<RingWriter> open(std::span<std::byte> memory);

    // Publishes one record: afterwards the consumer can see it. False when there is no room now
    // (that is back-pressure: keep the record and come back later) or when the ring is retired.
    // Never blocks. The payload is at most max_payload_bytes() and the type is not kPad; otherwise
    // it is a bug. The caller rings the consumer's doorbell after it published all it has.
    bool try_publish(RecordType type, std::span<const std::byte> payload) noexcept {
        return try_publish(type, payload, {});
    }
    // One record whose payload is `head` followed by `body`: a struct and its array, not joined
    // first.
    bool try_publish(RecordType type, std::span<const std::byte> head,
                     std::span<const std::byte> body) noexcept;

    // Whether a record with that payload could be published now.
    bool fits(uint64_t payload_bytes) noexcept;

    // Bytes not occupied by unread records now; headers and padding count as occupied.
    uint64_t free_bytes() noexcept;
    uint64_t capacity_bytes() const noexcept { return capacity_bytes_; }
    uint64_t max_payload_bytes() const noexcept { return ring_payload_max(capacity_bytes_); }

    // True once the consumer stored an impossible head. The peer is broken or hostile: treat it as
    // dead and tell the supervisor. Nothing is published any more.
    bool retired() const noexcept { return retired_; }

  private:
    RingWriter(std::byte* memory, uint64_t capacity_bytes, uint64_t tail, uint64_t head) noexcept;
    RingHeader& header() const noexcept { return *reinterpret_cast<RingHeader*>(memory_); }
    std::byte* at(uint64_t position) const noexcept;
    uint64_t pad_bytes(uint64_t bytes) const noexcept;
    bool make_room(uint64_t bytes) noexcept;
    bool refresh_head() noexcept;

    std::byte* memory_;
    uint64_t capacity_bytes_;
    uint64_t tail_;         // the truth; the shared tail is only its publication
    uint64_t cached_head_;  // last head seen: tail_ - capacity <= cached_head_ <= tail_
    bool retired_ = false;
};

// The bytes of a plain struct or array of such, for try_publish().
template <typename T>
std::span<const std::byte> bytes_of(const T& value) noexcept {
    static_assert(std::is_trivially_copyable_v<T>);
    return std::as_bytes(std::span<const T, 1>(&value, 1));
}

}  // namespace bitnetd::shm
