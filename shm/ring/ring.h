// Rings: records from exactly one producer process to exactly one consumer process, in order,
// without locks, waits or allocation. A ring knows nothing of what it carries. Layout:
// shm/abi/ring_abi.h.
//
// A record exists from the moment its producer stores the tail; death before that loses it, never
// tears it. The other side may be dying, older or hostile: each end keeps its own index privately,
// copies what the other wrote to a local before checking it, and retires the ring when it makes no
// sense. New incarnations get new rings; nothing is ever repaired in place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "shm/abi/records.h"
#include "shm/abi/ring_abi.h"
#include "shm/segment/segment.h"

namespace bitnetd::shm {

inline constexpr uint64_t kRingCapacityMin = 4 * 1024;
inline constexpr uint64_t kRingCapacityMax = 64 * 1024 * 1024;

// Bytes of a segment for a ring of `capacity_bytes` (a power of two, kRingCapacityMin .. Max).
constexpr uint64_t ring_segment_bytes(uint64_t capacity_bytes) {
    return (sizeof(RingHeader) + capacity_bytes + 4095) / 4096 * 4096;
}

// Largest payload of one record in a ring of that capacity: a quarter of it with the header.
constexpr uint64_t ring_payload_max(uint64_t capacity_bytes) {
    return capacity_bytes / 4 - sizeof(RecordHeader);
}

// Header, payload and padding to the next record.
constexpr uint64_t record_bytes(uint64_t payload_bytes) {
    return (sizeof(RecordHeader) + payload_bytes + kRecordAlignment - 1) / kRecordAlignment *
           kRecordAlignment;
}

// Makes an empty ring of a new, zeroed segment; the capacity is the largest power of two that fits.
// Supervisor only, before any descriptor of it is passed on.
Result<void> init_ring(std::span<std::byte> memory, uint64_t consumer_incarnation,
                       uint64_t producer_incarnation);
Result<void> init_ring(Segment& segment, uint64_t consumer_incarnation,
                       uint64_t producer_incarnation);

// The identity of a ring as read once and checked against the size of its memory. The other side
// can overwrite the shared copy at any time, so nobody reads it again.
struct RingShape {
    uint64_t capacity_bytes;
    uint64_t consumer_incarnation;
    uint64_t producer_incarnation;
};
Result<RingShape> read_ring_shape(std::span<const std::byte> memory);

// The record header at `at`, copied out of shared memory once. The other side may rewrite those
// bytes at any time: only the copy may be checked and used. The fence keeps the compiler from
// reading again.
inline RecordHeader copy_record_header(const std::byte* at) noexcept {
    const auto header = load<RecordHeader>(at);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    return header;
}

// What a record header, copied out of the ring, means at `position` when `available_bytes` are
// published from there on. kBad covers every header that a correct producer never writes.
enum class RecordCheck : uint8_t { kRecord, kPad, kBad };
RecordCheck check_record(const RecordHeader& header, uint64_t position, uint64_t available_bytes,
                         uint64_t capacity_bytes) noexcept;

}  // namespace bitnetd::shm
