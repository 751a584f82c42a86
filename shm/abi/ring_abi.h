// The byte layout of a ring segment: one single-producer single-consumer byte ring of records.
// Algorithms over it are in shm/ring/.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace bitnetd::shm {

// Bump when a field moves, changes width or changes meaning.
inline constexpr uint32_t kRingAbiVersion = 1;

// Offset 0 of every ring segment; capacity_bytes of data follow at header_bytes. Created by the
// supervisor, mapped by one frontend and one worker incarnation.
//   0: identity (written once)   64: producer writes   128: consumer writes
struct RingHeader {
    std::atomic<uint32_t> abi_version;  // 0 under construction; stored last: SYNC(ring.ready)
    uint32_t header_bytes;              // sizeof(RingHeader)
    uint64_t consumer_incarnation;      // pids are reused, incarnations are not
    uint64_t producer_incarnation;
    uint64_t capacity_bytes;                 // a power of two, 4 KiB .. 64 MiB
    uint8_t reserved0[32];                   // zero
    alignas(64) std::atomic<uint64_t> tail;  // bytes published; counts up, never wraps
    uint8_t reserved1[56];
    alignas(64) std::atomic<uint64_t> head;  // bytes consumed; counts up, never wraps
    uint8_t reserved2[56];
};
static_assert(sizeof(RingHeader) == 192 && alignof(RingHeader) == 64);
static_assert(offsetof(RingHeader, tail) == 64 && offsetof(RingHeader, head) == 128);
static_assert(std::is_standard_layout_v<RingHeader> && std::atomic<uint64_t>::is_always_lock_free);

// In front of every record. A record starts at a multiple of 8 and never wraps: a pad record fills
// the rest of a lap. length_bytes + header <= capacity / 4.
struct RecordHeader {
    uint32_t length_bytes;  // of the payload, without this header and without rounding up to 8
    uint16_t type;          // RecordType
    uint16_t flags;         // zero
};
static_assert(sizeof(RecordHeader) == 8);

inline constexpr uint64_t kRecordAlignment = 8;

}  // namespace bitnetd::shm
