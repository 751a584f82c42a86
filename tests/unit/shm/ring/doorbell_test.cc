// Goal: a doorbell rings when, and only when, the consumer said that it may sleep.
// Method: both ends in one thread; poll(2) with no wait tells whether the bell is rung.
#include "shm/ring/doorbell.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>

namespace bitnetd::shm {
namespace {

bool is_rung(int fd) {
    pollfd ready{fd, POLLIN, 0};
    return poll(&ready, 1, 0) == 1;
}

class DoorbellTest : public testing::Test {
  protected:
    void SetUp() override {
        auto fd = Doorbell::create();
        ASSERT_TRUE(fd.ok());
        peer_fd_ = Fd(fcntl(fd->get(), F_DUPFD_CLOEXEC, 0));
        consumer_.emplace(Doorbell::for_consumer(std::move(fd).value(), sleeping_));
        producer_.emplace(Doorbell::for_producer(std::move(peer_fd_), sleeping_));
    }
    std::atomic<uint32_t> sleeping_{0};
    Fd peer_fd_;
    std::optional<Doorbell> consumer_;
    std::optional<Doorbell> producer_;
};

TEST_F(DoorbellTest, StaysSilentWhileTheConsumerIsAwake) {
    producer_->ring_if_sleeping();
    EXPECT_FALSE(is_rung(consumer_->fd()));
}

TEST_F(DoorbellTest, RingsASleeperAndIsSilentAgainAfterIt) {
    consumer_->prepare_sleep();
    EXPECT_EQ(sleeping_.load(), 1u);
    EXPECT_FALSE(is_rung(consumer_->fd()));
    producer_->ring_if_sleeping();
    producer_->ring_if_sleeping();
    EXPECT_TRUE(is_rung(consumer_->fd()));
    consumer_->awake();
    EXPECT_EQ(sleeping_.load(), 0u);
    EXPECT_FALSE(is_rung(consumer_->fd())) << "one read swallows all rings";
    producer_->ring_if_sleeping();
    EXPECT_FALSE(is_rung(consumer_->fd()));
}

TEST_F(DoorbellTest, RingIsUnconditionalAndNeverBlocks) {
    const uint64_t nearly_full = UINT64_MAX - 1;
    ASSERT_EQ(write(consumer_->fd(), &nearly_full, 8), 8);
    producer_->ring();  // would block on a blocking descriptor
    EXPECT_TRUE(is_rung(consumer_->fd()));
    consumer_->drain();
    consumer_->drain();  // empty: returns at once
    EXPECT_FALSE(is_rung(consumer_->fd()));
}

TEST_F(DoorbellTest, AnyNonZeroWordRings) {
    sleeping_ = 0xffffffff;  // the peer's board is the peer's to scribble on
    producer_->ring_if_sleeping();
    EXPECT_TRUE(is_rung(consumer_->fd()));
}

using DoorbellDeathTest = DoorbellTest;
TEST_F(DoorbellDeathTest, AProducerHasNoSleepToAnnounce) {
    EXPECT_DEATH(producer_->prepare_sleep(), "own_");
    EXPECT_DEATH(producer_->awake(), "own_");
}

}  // namespace
}  // namespace bitnetd::shm
