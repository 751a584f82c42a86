// Doorbells: how a producer wakes a consumer process that sleeps in poll(2). One per consumer
// process, not per ring: an eventfd, and the `sleeping` word on the consumer's board that saves the
// system call when nobody sleeps.
//
//   consumer                                        producer
//   bell.prepare_sleep();                           ring.try_publish(...);
//   if (no ring has_records()) poll(bell.fd(), ..);     bell.ring_if_sleeping();
//   bell.awake();
//
// The consumer stores `sleeping`, then looks at the rings; the producer stores the tail, then looks
// at `sleeping`. A seq_cst fence between store and look on both sides means that at least one of
// them sees the other: SYNC(doorbell.sleep). With a release store alone both can miss, and the
// consumer sleeps on a full ring.
#pragma once

#include <atomic>
#include <cstdint>

#include "common/base/fd.h"
#include "common/base/result.h"

namespace bitnetd::shm {

class Doorbell {
  public:
    // A new eventfd, close-on-exec and non-blocking. Supervisor only.
    static Result<Fd> create();

    // `sleeping` is BoardWriter::sleeping() of one's own board, BoardView::sleeping() of the peer's
    // board; that mapping must outlive the doorbell. A producer's mapping is read-only.
    static Doorbell for_consumer(Fd eventfd, std::atomic<uint32_t>& sleeping) noexcept;
    static Doorbell for_producer(Fd eventfd, const std::atomic<uint32_t>& sleeping) noexcept;

    // Consumer: announces that it is about to sleep. It must look at every ring again after this,
    // and sleep only when all are empty.
    void prepare_sleep() noexcept;

    // Consumer: it is awake, however that came: takes the announcement back and swallows the rings.
    // A ring that comes later is seen as one needless wake-up at the next poll.
    void awake() noexcept;

    // Consumer: makes fd() unreadable. awake() does it too.
    void drain() noexcept;

    // Producer: after publishing. One load when the consumer is awake.
    // Never blocks. CRASH(doorbell.unrung): a producer that dies between publishing and ringing
    // leaves a sleeping consumer; the supervisor's kPeerGone on its control socket wakes it.
    void ring_if_sleeping() noexcept;

    // Producer: whatever the word says.
    void ring() noexcept;

    int fd() const noexcept { return fd_.get(); }

  private:
    Doorbell(Fd eventfd, const std::atomic<uint32_t>* peer, std::atomic<uint32_t>* own) noexcept
        : fd_(std::move(eventfd)), sleeping_(peer), own_(own) {}

    Fd fd_;
    const std::atomic<uint32_t>* sleeping_;
    std::atomic<uint32_t>* own_;  // null on the producer's side
};

}  // namespace bitnetd::shm
