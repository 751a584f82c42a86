// Goal: a worker that cannot start says whose business that is. Method: each kind of error.
#include "worker/process/worker_setup.h"

#include <gtest/gtest.h>

namespace bitnetd::worker {
namespace {

TEST(ExitCodeOf, TellsSettingsMemoryAndProtocolApart) {
    const auto code = [](ErrorCode error) { return exit_code_of({error, ""}, kExitDeviceLost); };
    EXPECT_EQ(code(ErrorCode::kUnsupported), kExitUsage);
    EXPECT_EQ(code(ErrorCode::kExhausted), kExitNoMemory);
    EXPECT_EQ(code(ErrorCode::kInvalid), kExitProtocol);
    EXPECT_EQ(code(ErrorCode::kIo), kExitDeviceLost);
    EXPECT_EQ(code(ErrorCode::kInternal), kExitDeviceLost);
}

}  // namespace
}  // namespace bitnetd::worker
