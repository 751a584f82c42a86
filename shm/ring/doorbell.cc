#include "shm/ring/doorbell.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "common/base/check.h"
#include "common/base/crash_point.h"

namespace bitnetd::shm {
namespace {

// SYNC(doorbell.sleep): one on each side, between a store and a load of different words. gcc warns
// that thread sanitizer does not model fences; it need not: the data itself is ordered by
// ring.publish.
void fence() noexcept {
#pragma GCC diagnostic push
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wtsan"
#endif
    std::atomic_thread_fence(std::memory_order_seq_cst);
#pragma GCC diagnostic pop
}

}  // namespace

Result<Fd> Doorbell::create() {
    Fd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!fd) return io_error("eventfd", errno);
    return fd;
}

Doorbell Doorbell::for_consumer(Fd eventfd, std::atomic<uint32_t>& sleeping) noexcept {
    return Doorbell(std::move(eventfd), &sleeping, &sleeping);
}

Doorbell Doorbell::for_producer(Fd eventfd, const std::atomic<uint32_t>& sleeping) noexcept {
    return Doorbell(std::move(eventfd), &sleeping, nullptr);
}

void Doorbell::prepare_sleep() noexcept {
    BITNETD_CHECK(own_ != nullptr);
    own_->store(1, std::memory_order_relaxed);
    fence();  // SYNC(doorbell.sleep): sleeping is visible before the caller looks at the rings
              // again
    // CRASH(doorbell.armed): producers ring for a dead consumer; nobody hears it and nothing is
    // lost.
    BITNETD_CRASH(doorbell.armed);
}

void Doorbell::awake() noexcept {
    BITNETD_CHECK(own_ != nullptr);
    own_->store(0, std::memory_order_relaxed);
    drain();
}

void Doorbell::drain() noexcept {
    uint64_t rings = 0;
    // One read empties an eventfd; EAGAIN means that nobody rang.
    while (read(fd_.get(), &rings, sizeof rings) < 0 && errno == EINTR) {
    }
}

void Doorbell::ring_if_sleeping() noexcept {
    fence();  // SYNC(doorbell.sleep): our tail is visible before we look whether the consumer
              // sleeps
    if (sleeping_->load(std::memory_order_relaxed) == 0) return;
    BITNETD_CRASH(doorbell.unrung);
    ring();
}

void Doorbell::ring() noexcept {
    const uint64_t one = 1;
    // EAGAIN: the counter is full, so it is readable and the consumer wakes anyway.
    while (write(fd_.get(), &one, sizeof one) < 0 && errno == EINTR) {
    }
}

}  // namespace bitnetd::shm
