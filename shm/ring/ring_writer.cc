#include "shm/ring/ring_writer.h"

#include <cstring>

#include "common/base/check.h"
#include "common/base/crash_point.h"

namespace bitnetd::shm {

Result<RingWriter> RingWriter::open(Segment& segment) {
    return open(segment.mutable_view());
}

Result<RingWriter> RingWriter::open(std::span<std::byte> memory) {
    BITNETD_ASSIGN(const RingShape shape, read_ring_shape(memory));
    auto& header = *reinterpret_cast<RingHeader*>(memory.data());
    const uint64_t tail = header.tail.load(std::memory_order_relaxed);  // only we write tail
    const uint64_t head = header.head.load(std::memory_order_acquire);  // SYNC(ring.release)
    if (tail % kRecordAlignment != 0 || head % kRecordAlignment != 0 ||
        tail - head > shape.capacity_bytes) {
        return invalid("ring: head " + std::to_string(head) + " and tail " + std::to_string(tail) +
                       " do not belong to " + std::to_string(shape.capacity_bytes) + " bytes");
    }
    return RingWriter(memory.data(), shape.capacity_bytes, tail, head);
}

RingWriter::RingWriter(std::byte* memory, uint64_t capacity_bytes, uint64_t tail,
                       uint64_t head) noexcept
    : memory_(memory), capacity_bytes_(capacity_bytes), tail_(tail), cached_head_(head) {}

std::byte* RingWriter::at(uint64_t position) const noexcept {
    return memory_ + sizeof(RingHeader) + (position & (capacity_bytes_ - 1));
}

// What must be padded so that `bytes` lie in one piece: nothing, or the rest of the lap.
uint64_t RingWriter::pad_bytes(uint64_t bytes) const noexcept {
    const uint64_t lap_rest = capacity_bytes_ - (tail_ & (capacity_bytes_ - 1));
    return bytes <= lap_rest ? 0 : lap_rest;
}

bool RingWriter::refresh_head() noexcept {
    // SYNC(ring.release): pairs with the release in RingReader::release(). The consumer has
    // finished with every byte before head, so they may be overwritten.
    const uint64_t head = header().head.load(std::memory_order_acquire);
    // A correct head only moves forward and never passes the tail. In unsigned distances from the
    // last head seen, that is one comparison.
    if (head - cached_head_ > tail_ - cached_head_ || head % kRecordAlignment != 0) retired_ = true;
    if (!retired_) cached_head_ = head;
    return !retired_;
}

bool RingWriter::make_room(uint64_t bytes) noexcept {
    if (retired_) return false;
    if (capacity_bytes_ - (tail_ - cached_head_) >= bytes) return true;
    return refresh_head() && capacity_bytes_ - (tail_ - cached_head_) >= bytes;
}

bool RingWriter::fits(uint64_t payload_bytes) noexcept {
    if (payload_bytes > max_payload_bytes()) return false;
    const uint64_t bytes = record_bytes(payload_bytes);
    return make_room(pad_bytes(bytes) + bytes);
}

uint64_t RingWriter::free_bytes() noexcept {
    return refresh_head() ? capacity_bytes_ - (tail_ - cached_head_) : 0;
}

bool RingWriter::try_publish(RecordType type, std::span<const std::byte> head,
                             std::span<const std::byte> body) noexcept {
    const uint64_t payload_bytes = head.size() + body.size();
    BITNETD_CHECK(payload_bytes <= max_payload_bytes());
    BITNETD_CHECK(type != RecordType::kPad);
    const uint64_t bytes = record_bytes(payload_bytes);
    const uint64_t pad = pad_bytes(bytes);
    if (!make_room(pad + bytes)) return false;
    if (pad > 0) {
        const RecordHeader filler{static_cast<uint32_t>(pad - sizeof(RecordHeader)),
                                  static_cast<uint16_t>(RecordType::kPad), 0};
        std::memcpy(at(tail_), &filler, sizeof filler);
        BITNETD_CRASH(
            ring.padded);  // CRASH(ring.padded): nothing is published, the pad least of all.
    }
    const RecordHeader record{static_cast<uint32_t>(payload_bytes), static_cast<uint16_t>(type), 0};
    std::byte* const out = at(tail_ + pad);
    std::memcpy(out, &record, sizeof record);
    if (!head.empty()) std::memcpy(out + sizeof record, head.data(), head.size());
    BITNETD_CRASH(
        ring.half);  // CRASH(ring.half): a half-written record lies behind the tail, unseen.
    if (!body.empty()) std::memcpy(out + sizeof record + head.size(), body.data(), body.size());
    tail_ += pad + bytes;
    // CRASH(ring.copied): the record is lost, never torn: readers stop at tail.
    BITNETD_CRASH(ring.copied);
    // SYNC(ring.publish): pairs with the acquire in RingReader::refresh_tail(). With relaxed, a
    // reader on Arm can see the new tail and the previous lap's bytes. Pad and record appear
    // together.
    header().tail.store(tail_, std::memory_order_release);
    // CRASH(ring.published): the record is real; only the doorbell is missing (doorbell.h).
    BITNETD_CRASH(ring.published);
    return true;
}

}  // namespace bitnetd::shm
