// Goal: a refusal reaches whoever waits for it, however long a model makes its reason.
// Method: a channel's two ends in one process.
#include "worker/tasks/task.h"

#include <gtest/gtest.h>

namespace bitnetd::worker {
namespace {

TEST(SendReason, CutsWhatNoMessageCarries) {
    auto ends = shm::Channel::make_pair().value();
    shm::Channel ours(std::move(ends.first));
    shm::Channel theirs(std::move(ends.second));
    for (const size_t bytes : {size_t{1}, kReasonBytesMax, size_t{shm::kControlPayloadMax} + 1}) {
        const std::string why(bytes, 'x');
        ASSERT_TRUE(send_reason(ours, shm::MessageType::kLoadFailed, invalid(why)).ok());
        const auto message = theirs.receive().value();
        ASSERT_TRUE(message.has_value());
        EXPECT_EQ(message->type, shm::MessageType::kLoadFailed);
        EXPECT_EQ(message->text(), why.substr(0, kReasonBytesMax));
    }
}

}  // namespace
}  // namespace bitnetd::worker
