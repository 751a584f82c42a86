// bitnetd-frontend: serves HTTP for the supervisor that started it. It takes no arguments;
// everything it needs comes over descriptor 3.
#include <csignal>
#include <cstdio>
#include <exception>

#include "common/config/exit_codes.h"
#include "common/log/log.h"
#include "supervisor/frontend/process/frontend_process.h"

namespace bitnetd {
namespace {

// The supervisor sends everything up to kStart at once.
constexpr uint64_t kStartTimeoutMs = 30'000;

void init_log(const shm::ChildLink& link) {
    auto level = log::Level::kInfo;
    auto format = log::Format::kAuto;
    log::parse_level(link.params().log_level, level);
    log::parse_format(link.params().log_format, format);
    log::init("frontend/" + std::to_string(link.slot()), level, format);
}

int run() {
    signal(SIGPIPE, SIG_IGN);  // a client that closed is an error of its own write
    auto link = shm::ChildLink::start(shm::Role::kFrontend, kStartTimeoutMs);
    if (!link.ok()) {
        log::init("frontend", log::Level::kInfo, log::Format::kAuto);
        log::error("frontend_start_failed", {{"reason", link.error().message}});
        return kExitProtocol;
    }
    init_log(*link);
    return frontend::FrontendProcess(*link).run();
}

}  // namespace
}  // namespace bitnetd

int main() {
    try {
        return bitnetd::run();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "bitnetd-frontend: %s\n", error.what());
        return bitnetd::kExitInternal;
    }
}
