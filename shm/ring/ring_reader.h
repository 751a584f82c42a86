// The consumer's end of a ring. One per ring; used by one thread of the process that owns the head.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "shm/ring/ring.h"

namespace bitnetd::shm {

class RingReader {
  public:
    // The memory must stay mapped for as long as the reader is used; moving its Segment is fine.
    // kInvalid when it is not a ring of this build's ABI, or its indices make no sense. Allocates
    // the buffer that records are copied to (a quarter of the ring); nothing is allocated
    // afterwards.
    static Result<RingReader> open(Segment& segment);
    static Result<RingReader> open(std::span<std::byte> memory);

    // Calls fn(RecordType, std::span<const std::byte> payload) for each published record, oldest
    // first, at most `records_max` of them, and returns how many. Never blocks; 0 when there is
    // nothing.
    //
    // The payload is a private copy, 16-byte aligned, valid until fn returns: the producer cannot
    // change it between a check and a use. Its contents are as untrusted as ever: fn checks sizes,
    // counts and the type (any value but kPad). fn must not throw and must not use this reader.
    //
    // An Error (kInvalid) means that the producer wrote what no producer writes: the ring is
    // retired, every later call fails the same way. Records already handed to fn were well-formed.
    //
    // Death of the consumer inside fn: the head is stored after fn returned, so the record stays in
    // the ring, as if never read. Nobody reads it again: the next incarnation gets new rings, and
    // what this one had accepted is re-dispatched by the flight's owner.
    template <typename Fn>
    Result<size_t> poll(Fn&& fn, size_t records_max) {
        return deliver(std::forward<Fn>(fn), records_max, /*tail_once=*/false);
    }

    // Fencing: everything published up to the tail as seen once, at the beginning of the call. A
    // producer that was given up and still runs cannot keep us here. Call it once, then unmap.
    template <typename Fn>
    Result<size_t> drain(Fn&& fn) {
        return deliver(std::forward<Fn>(fn), SIZE_MAX, /*tail_once=*/true);
    }

    // Whether a record may be waiting; the re-check between Doorbell::prepare_sleep() and poll(2).
    // True for a retired ring as well, so that the caller meets its error.
    bool has_records() noexcept;

    uint64_t capacity_bytes() const noexcept { return capacity_bytes_; }
    bool retired() const noexcept { return retired_; }

  private:
    enum class Step : uint8_t { kRecord, kEmpty, kBroken };

    RingReader(std::byte* memory, uint64_t capacity_bytes, uint64_t head, uint64_t tail);
    RingHeader& header() const noexcept { return *reinterpret_cast<RingHeader*>(memory_); }
    bool refresh_tail() noexcept;
    Step take(bool refresh) noexcept;  // copies the next record to buffer_, type_, payload_bytes_
    void release() noexcept;           // stores the head behind it
    Error broken() const;

    template <typename Fn>
    Result<size_t> deliver(Fn&& fn, size_t records_max, bool tail_once) {
        if (tail_once && !refresh_tail()) return broken();
        size_t count = 0;
        while (count < records_max) {
            const Step step = take(!tail_once);
            if (step == Step::kBroken) return broken();
            if (step == Step::kEmpty) break;
            fn(type_, std::span<const std::byte>(buffer_.data(), payload_bytes_));
            release();
            ++count;
        }
        return count;
    }

    std::byte* memory_;
    uint64_t capacity_bytes_;
    uint64_t head_;         // the truth; the shared head is only its publication
    uint64_t cached_tail_;  // last tail seen: head_ <= cached_tail_ <= head_ + capacity
    uint64_t next_head_ = 0;
    std::vector<std::byte> buffer_;
    size_t payload_bytes_ = 0;
    RecordType type_ = RecordType::kPad;
    bool retired_ = false;
};

}  // namespace bitnetd::shm
