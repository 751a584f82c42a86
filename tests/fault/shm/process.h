// Real child processes for fault tests: forked from the single-threaded test, killed for real,
// waited for through a pidfd so that no test sleeps. And the records they pass on, which carry
// their number.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "common/base/crash_point.h"
#include "shm/ring/doorbell.h"
#include "shm/ring/ring_reader.h"
#include "shm/ring/ring_writer.h"

namespace bitnetd::shm::test {

// A child that does not die at its label ends with this, and its test fails.
inline constexpr int kSurvived = 77;

class Process {
  public:
    // Runs `body` in a child; one that returns exits with kSurvived.
    template <typename Body>
    explicit Process(Body&& body) {
        pid_ = fork();
        if (pid_ == 0) {
            alarm(120);  // of the child; an orphan does not stay
            body();
            _exit(kSurvived);
        }
        pidfd_ = Fd(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
    }
    ~Process() {
        if (pid_ > 0) {
            kill(SIGKILL);
            wait();
        }
    }
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    void kill(int signal) const { ::kill(pid_, signal); }
    int pidfd() const { return pidfd_.get(); }
    bool gone() const {
        pollfd ready{pidfd(), POLLIN, 0};
        return poll(&ready, 1, 0) == 1;
    }
    // The status of waitpid(); blocks until the child is gone.
    int wait() {
        int status = 0;
        waitpid(pid_, &status, 0);
        pid_ = -1;
        return status;
    }

  private:
    pid_t pid_ = -1;
    Fd pidfd_;
};

// A label as part of a test's name: GoogleTest allows no dots.
inline std::string test_name(std::string label) {
    std::replace(label.begin(), label.end(), '.', '_');
    return label;
}

inline bool died_by(int status, int signal) {
    return WIFSIGNALED(status) && WTERMSIG(status) == signal;
}

// Sleeps until the bell rings or the process is gone, without a timeout: a lost wake-up is a hang,
// and the test's own timeout reports it. False when the process is gone.
inline bool sleep_until_rung(const Doorbell& bell, const Process& process) {
    pollfd ready[] = {{bell.fd(), POLLIN, 0}, {process.pidfd(), POLLIN, 0}};
    poll(ready, 2, -1);
    return (ready[1].revents & POLLIN) == 0;
}

// Record number n: its size and bytes follow from n, so that a torn one shows.
inline std::vector<std::byte> numbered(uint64_t number, uint64_t payload_max) {
    const uint64_t mixed = (number + 1) * 0x9e3779b97f4a7c15u;
    const uint64_t bytes = 8 + mixed % (number % 5 == 0 ? payload_max - 8 : 120);
    std::vector<std::byte> payload(bytes, static_cast<std::byte>(mixed >> 56));
    std::memcpy(payload.data(), &number, sizeof number);
    return payload;
}

inline bool is_numbered(uint64_t number, RecordType type, std::span<const std::byte> payload) {
    const auto expected = numbered(number, ring_payload_max(kRingCapacityMin));
    return type == RecordType::kToken && std::ranges::equal(payload, expected);
}

// A ring of the smallest size, the consumer's sleeping word and its eventfd: what both sides share.
struct Link {
    Link() : ring(memfd(ring_segment_bytes(kRingCapacityMin))), word(memfd(4096)), bell(eventfd()) {
        Segment segment = map(ring);
        EXPECT_TRUE(init_ring(segment, 1, 2).ok());
    }
    static Fd memfd(uint64_t bytes) {
        return std::move(Segment::create_memfd("test", bytes)).value();
    }
    static Fd eventfd() { return std::move(Doorbell::create()).value(); }
    static Segment map(const Fd& fd) {
        return std::move(Segment::map(fd.get(), Access::kReadWrite)).value();
    }
    Fd ring, word, bell;
};

// One process's mapping of a link: each side opens its own, at its own address.
struct End {
    explicit End(const Link& link)
        : ring(Link::map(link.ring)), word(Link::map(link.word)), bell_fd(dup(link.bell.get())) {}
    std::atomic<uint32_t>& sleeping() { return *word.as<std::atomic<uint32_t>>(); }
    Doorbell consumer_bell() { return Doorbell::for_consumer(Fd(bell_fd.release()), sleeping()); }
    Doorbell producer_bell() { return Doorbell::for_producer(Fd(bell_fd.release()), sleeping()); }
    RingReader reader() { return std::move(RingReader::open(ring)).value(); }
    RingWriter writer() { return std::move(RingWriter::open(ring)).value(); }
    Segment ring, word;
    Fd bell_fd;
};

// Publishes records first, first + 1, ... up to `last` or until `stop()`; returns the next number.
template <typename Stop>
uint64_t publish_numbered(RingWriter& writer, Doorbell& bell, uint64_t first, uint64_t last,
                          Stop&& stop) {
    for (uint64_t number = first; number < last; ++number) {
        const auto payload = numbered(number, writer.max_payload_bytes());
        const std::span<const std::byte> all(payload);
        while (!writer.try_publish(RecordType::kToken, all.first(8), all.subspan(8))) {
            bell.ring_if_sleeping();
            if (stop()) return number;
            sched_yield();
        }
        bell.ring_if_sleeping();
        if (stop()) return number + 1;
    }
    return last;
}

}  // namespace bitnetd::shm::test
