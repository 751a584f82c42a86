// Goal: an operator's tools look for the server where they are told to. Method: each way to say it,
// and none.
#include "common/config/control_path.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace bitnetd {
namespace {

TEST(ControlPath, FlagThenVariableThenDefault) {
    unsetenv("BITNETD_SERVER__CONTROL");
    EXPECT_EQ(control_path(""), kDefaultControl);
    setenv("BITNETD_SERVER__CONTROL", "/run/x.sock", 1);
    EXPECT_EQ(control_path(""), "/run/x.sock");
    EXPECT_EQ(control_path("/y.sock"), "/y.sock");
    unsetenv("BITNETD_SERVER__CONTROL");
}

}  // namespace
}  // namespace bitnetd
