// A worker's end of a pair of rings, and its board: real segments in this process; the test says
// what the worker does. For tests of a frontend's end of them.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "shm/board/board.h"
#include "shm/control/channel.h"
#include "shm/ring/doorbell.h"
#include "shm/ring/ring_reader.h"
#include "shm/ring/ring_writer.h"
#include "shm/segment/segment.h"

namespace bitnetd::frontend {

class WorkerEnd {
  public:
    static constexpr uint64_t kFrontend = 7;
    static constexpr uint64_t kWorker = 9;
    static constexpr uint64_t kRingBytes = 4096;

    WorkerEnd() {
        requests_fd_ = make_ring("requests", kWorker, kFrontend);
        tokens_fd_ = make_ring("tokens", kFrontend, kWorker);
        requests_ = map(requests_fd_.get());
        tokens_ = map(tokens_fd_.get());
        reader_ = value(shm::RingReader::open(requests_));
        writer_ = value(shm::RingWriter::open(tokens_));
        board_fd_ = value(shm::create_board({shm::Role::kWorker, 0, kWorker, "cpu:0"}));
        board_segment_ = map(board_fd_.get());
        board_ = value(shm::BoardWriter::open(board_segment_));
    }

    // What the supervisor sends the frontend, but for the payload.
    shm::Message peer_message() {
        shm::Message message;
        message.type = shm::MessageType::kPeer;
        for (const int fd : {requests_fd_.get(), tokens_fd_.get()}) {
            message.fds.emplace_back(dup(fd));
        }
        message.fds.push_back(value(shm::Doorbell::create()));
        message.fds.emplace_back(dup(board_fd_.get()));
        return message;
    }

    std::vector<std::pair<shm::RecordType, std::vector<std::byte>>> take() {
        std::vector<std::pair<shm::RecordType, std::vector<std::byte>>> records;
        const auto count =
            reader_->drain([&](shm::RecordType type, std::span<const std::byte> payload) {
                records.emplace_back(type, std::vector<std::byte>(payload.begin(), payload.end()));
            });
        EXPECT_TRUE(count.ok());
        return records;
    }
    // To scribble into.
    shm::RingHeader& requests() { return header_of(requests_); }
    shm::RingHeader& tokens() { return header_of(tokens_); }
    shm::RingWriter& writer() { return *writer_; }
    shm::BoardWriter& board() { return *board_; }

  private:
    static shm::RingHeader& header_of(shm::Segment& ring) {
        return *reinterpret_cast<shm::RingHeader*>(ring.mutable_data());
    }
    template <typename T>
    static T value(Result<T> result) {
        EXPECT_TRUE(result.ok());
        return std::move(result).value();
    }
    static shm::Segment map(int fd) {
        return value(shm::Segment::map(fd, shm::Access::kReadWrite));
    }
    static Fd make_ring(const char* name, uint64_t consumer, uint64_t producer) {
        Fd fd = value(shm::Segment::create_memfd(name, shm::ring_segment_bytes(kRingBytes)));
        shm::Segment segment = map(fd.get());
        EXPECT_TRUE(shm::init_ring(segment, consumer, producer).ok());
        return fd;
    }

    Fd requests_fd_, tokens_fd_, board_fd_;
    shm::Segment requests_, tokens_, board_segment_;
    std::optional<shm::RingReader> reader_;
    std::optional<shm::RingWriter> writer_;
    std::optional<shm::BoardWriter> board_;
};

}  // namespace bitnetd::frontend
