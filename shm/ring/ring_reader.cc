#include "shm/ring/ring_reader.h"

#include <cstring>

#include "common/base/crash_point.h"

namespace bitnetd::shm {

Result<RingReader> RingReader::open(Segment& segment) {
    return open(segment.mutable_view());
}

Result<RingReader> RingReader::open(std::span<std::byte> memory) {
    BITNETD_ASSIGN(const RingShape shape, read_ring_shape(memory));
    auto& header = *reinterpret_cast<RingHeader*>(memory.data());
    const uint64_t head = header.head.load(std::memory_order_relaxed);  // only we write head
    if (head % kRecordAlignment != 0) {
        return invalid("ring: head " + std::to_string(head) + " is not where a record can begin");
    }
    RingReader reader(memory.data(), shape.capacity_bytes, head, head);
    if (!reader.refresh_tail()) return reader.broken();
    return reader;
}

RingReader::RingReader(std::byte* memory, uint64_t capacity_bytes, uint64_t head, uint64_t tail)
    : memory_(memory),
      capacity_bytes_(capacity_bytes),
      head_(head),
      cached_tail_(tail),
      buffer_(ring_payload_max(capacity_bytes)) {}

bool RingReader::refresh_tail() noexcept {
    if (retired_) return false;
    // SYNC(ring.publish): pairs with the release in RingWriter::try_publish(). Every byte before
    // tail is written. The value is untrusted: it must not go back, nor run more than a lap ahead
    // of us.
    const uint64_t tail = header().tail.load(std::memory_order_acquire);
    const uint64_t published = tail - head_;
    retired_ = published < cached_tail_ - head_ || published > capacity_bytes_ ||
               tail % kRecordAlignment != 0;
    if (!retired_) cached_tail_ = tail;
    return !retired_;
}

bool RingReader::has_records() noexcept {
    return !refresh_tail() || cached_tail_ != head_;
}

RingReader::Step RingReader::take(bool refresh) noexcept {
    if (retired_) return Step::kBroken;
    uint64_t position = head_;
    while (true) {  // at most twice: no pad follows a pad, as a pad ends its lap and is shorter
                    // than one
        if (position == cached_tail_) {
            if (!refresh) return Step::kEmpty;
            if (!refresh_tail()) return Step::kBroken;
            if (position == cached_tail_) return Step::kEmpty;
        }
        const std::byte* const in =
            memory_ + sizeof(RingHeader) + (position & (capacity_bytes_ - 1));
        const RecordHeader record = copy_record_header(in);
        switch (check_record(record, position, cached_tail_ - position, capacity_bytes_)) {
            case RecordCheck::kBad:
                retired_ = true;
                return Step::kBroken;
            case RecordCheck::kPad:
                position += record_bytes(record.length_bytes);
                continue;
            case RecordCheck::kRecord:
                break;
        }
        payload_bytes_ = record.length_bytes;
        type_ = static_cast<RecordType>(record.type);
        std::memcpy(buffer_.data(), in + sizeof record, payload_bytes_);
        next_head_ = position + record_bytes(record.length_bytes);
        // CRASH(ring.taken): the record was copied out and not handled; it is still in the ring.
        BITNETD_CRASH(ring.taken);
        return Step::kRecord;
    }
}

void RingReader::release() noexcept {
    // CRASH(ring.handled): the record was handled, yet is still in the ring. Nobody reads it again
    // (see poll()); were it read again, attempt and position in it would show that it is old.
    BITNETD_CRASH(ring.handled);
    head_ = next_head_;
    // SYNC(ring.release): pairs with the acquire in RingWriter::refresh_head(). Our copy out of the
    // ring is done before the producer may overwrite it. With relaxed it could be overwritten under
    // the copy.
    header().head.store(head_, std::memory_order_release);
    BITNETD_CRASH(ring.released);  // CRASH(ring.released): the ordinary case, between two records.
}

Error RingReader::broken() const {
    return invalid("ring: its producer wrote an impossible tail or record near byte " +
                   std::to_string(head_) + "; the ring is retired");
}

}  // namespace bitnetd::shm
