#include "supervisor/lifecycle/handover/systemd_link.h"

#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/log/log.h"
#include "shm/control/text_field.h"

namespace bitnetd::supervisor::systemd {
namespace {

constexpr size_t kStatusBytesMax = 200;
constexpr uint64_t kNsPerUsec = 1000;

void notify(const std::string& message) {
    const int sent = sd_notify(0, message.c_str());
    if (sent >= 0) return;  // 0: nobody listens
    log::warn("systemd_not_told",
              {{"message", shm::printable(message)}, {"error", io_error("notify", -sent).message}});
}

// A line of the message: a line end within would begin the next assignment.
std::string status_line(std::string_view text) {
    return "STATUS=" + shm::printable(text.substr(0, kStatusBytesMax));
}

}  // namespace

bool present() {
    const char* socket = std::getenv("NOTIFY_SOCKET");
    return socket != nullptr && *socket != '\0';
}

void ready(std::string_view status) {
    notify("READY=1\n" + status_line(status));
}

void status(std::string_view text) {
    notify(status_line(text));
}

void reloading() {
    notify("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(monotonic_ns() / kNsPerUsec));
}

void stopping(std::string_view status) {
    notify("STOPPING=1\n" + status_line(status));
}

void extend_timeout(uint64_t usec) {
    notify("EXTEND_TIMEOUT_USEC=" + std::to_string(usec));
}

void main_pid() {
    notify("MAINPID=" + std::to_string(getpid()));
}

uint64_t watchdog_interval_ns() {
    uint64_t usec = 0;
    // Also 0 when WATCHDOG_PID names another process.
    return sd_watchdog_enabled(0, &usec) > 0 ? usec * kNsPerUsec : 0;
}

void watchdog() {
    notify("WATCHDOG=1");
}

}  // namespace bitnetd::supervisor::systemd
