// Goal: systemd hears what it must, in its words; without systemd nothing happens at all.
// Method: a notify socket of the test's own, and the environment that systemd would set.
#include "supervisor/lifecycle/handover/systemd_link.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "tests/unit/supervisor/lifecycle/handover/notify_socket.h"

namespace bitnetd::supervisor {
namespace {

TEST(SystemdLink, SaysEachThing) {
    NotifySocket socket;
    EXPECT_TRUE(systemd::present());
    systemd::ready("serving tiny");
    const Notification ready = socket.receive();
    EXPECT_EQ(ready.value("READY"), "1");
    EXPECT_EQ(ready.value("STATUS"), "serving tiny");

    systemd::status("loading");
    EXPECT_EQ(socket.receive().text, "STATUS=loading");
    systemd::stopping("draining");
    EXPECT_EQ(socket.receive().text, "STOPPING=1\nSTATUS=draining");
    systemd::extend_timeout(5'000'000);
    EXPECT_EQ(socket.receive().text, "EXTEND_TIMEOUT_USEC=5000000");
    systemd::main_pid();
    EXPECT_EQ(socket.receive().value("MAINPID"), std::to_string(getpid()));
    systemd::watchdog();
    EXPECT_EQ(socket.receive().text, "WATCHDOG=1");
}

TEST(SystemdLink, ReloadingSaysWhenOnTheMonotonicClock) {
    NotifySocket socket;
    const uint64_t before_us = monotonic_ns() / 1000;
    systemd::reloading();
    const uint64_t after_us = monotonic_ns() / 1000;
    const Notification reloading = socket.receive();
    EXPECT_EQ(reloading.value("RELOADING"), "1");
    const uint64_t said_us = std::stoull(reloading.value("MONOTONIC_USEC"));
    EXPECT_LE(before_us, said_us);
    EXPECT_LE(said_us, after_us);
}

TEST(SystemdLink, StatusCannotSayAnythingElse) {
    NotifySocket socket;
    systemd::status("name\nMAINPID=1\x1b[0m" + std::string(1000, 'x'));
    const Notification notification = socket.receive();
    EXPECT_EQ(notification.value("MAINPID"), "(none)");
    EXPECT_EQ(notification.value("STATUS").substr(0, 19), "name?MAINPID=1?[0mx");
    EXPECT_EQ(notification.value("STATUS").size(), 200u);
}

TEST(SystemdLink, WatchdogIsForTheProcessItNames) {
    EXPECT_EQ(systemd::watchdog_interval_ns(), 0u);
    const Environment interval("WATCHDOG_USEC", "30000000");
    EXPECT_EQ(systemd::watchdog_interval_ns(), 30 * kNsPerS);
    {
        const Environment pid("WATCHDOG_PID", std::to_string(getpid()));
        EXPECT_EQ(systemd::watchdog_interval_ns(), 30 * kNsPerS);
        EXPECT_EQ(systemd::watchdog_interval_ns(), 30 * kNsPerS);  // the variables stay
    }
    const Environment pid("WATCHDOG_PID", std::to_string(getppid()));
    EXPECT_EQ(systemd::watchdog_interval_ns(), 0u);
}

TEST(SystemdLink, WithoutSystemdNothingHappens) {
    EXPECT_FALSE(systemd::present());
    systemd::ready("x");
    systemd::reloading();
    systemd::watchdog();
    // One that went away is no reason to fail either.
    const Environment gone("NOTIFY_SOCKET", "@bitnetd-test-nobody-listens");
    systemd::ready("x");
}

}  // namespace
}  // namespace bitnetd::supervisor
