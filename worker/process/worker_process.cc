#include "worker/process/worker_process.h"

#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <utility>

#include "common/base/check.h"
#include "common/config/exit_codes.h"
#include "common/log/log.h"
#include "shm/control/text_field.h"

namespace bitnetd::worker {
namespace {

// The supervisor sends the whole setup with the start.
constexpr uint64_t kSetupTimeoutMs = 60'000;

std::atomic<StepLoop*> g_draining_loop{nullptr};

void start_log(const Params& params, uint32_t slot) {
    log::Level level{};
    log::Format format{};
    if (log::parse_level(params.log_level, level) && log::parse_format(params.log_format, format)) {
        log::init("worker/" + std::to_string(slot), level, format);
    }
}

// "cpu:0" of the kind "cpu".
std::optional<uint32_t> index_of(std::string_view device, std::string_view kind) {
    if (!device.starts_with(kind)) return std::nullopt;
    device.remove_prefix(kind.size());
    if (!device.starts_with(':')) return std::nullopt;
    device.remove_prefix(1);
    uint32_t index = 0;
    const char* const end = device.data() + device.size();
    const auto [stopped, error] = std::from_chars(device.data(), end, index);
    if (error != std::errc() || stopped != end) return std::nullopt;
    return index;
}

// The device of the command line; nothing when that is wrong.
std::optional<uint32_t> parse_device(int argc, char** argv, std::string_view kind) {
    std::optional<uint32_t> device;
    if (argc % 2 == 0) return std::nullopt;
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::string_view name = argv[i];
        if (name == "--device") {
            device = index_of(argv[i + 1], kind);
        } else if (name != "--model") {
            return std::nullopt;
        }
    }
    return device;
}

int serve(uint32_t device_index, MakeWorker make) {
    auto link = shm::ChildLink::start(shm::Role::kWorker, kSetupTimeoutMs);
    if (!link.ok()) {
        log::error("worker_start_failed", {{"reason", link.error().message}});
        return link.error().code == ErrorCode::kUnavailable ? kExitLostSupervisor : kExitProtocol;
    }
    start_log(link->params(), link->slot());
    const std::unique_ptr<Worker> worker = make(*link, device_index);
    if (auto failure = worker->start()) {
        log::error("worker_start_failed", {{"reason", failure->error.message}});
        say_last_words(failure->error.message.c_str());  // for the supervisor, and so for /health
        return failure->code;
    }
    const ExitCode code = worker->run();
    log::info("worker_ended", {{"exit_code", static_cast<int>(code)}});
    return code;
}

}  // namespace

int worker_main(int argc, char** argv, std::string_view device_kind, MakeWorker make) {
    const auto device = parse_device(argc, argv, device_kind);
    if (!device) {
        std::fprintf(stderr, "usage: %s --device %.*s:N [--model ID]   (started by bitnetd)\n",
                     argv[0], static_cast<int>(device_kind.size()), device_kind.data());
        return kExitUsage;
    }
    try {
        return serve(*device, make);
    } catch (const std::bad_alloc&) {
        log::error("worker_out_of_memory");
        return kExitNoMemory;
    } catch (const std::exception& failure) {
        log::error("worker_failed", {{"reason", failure.what()}});
        return kExitInternal;
    }
}

Result<void> say_ready(shm::ChildLink& link, std::string_view kernel_isa) {
    shm::ReadyMessage ready{};
    ready.slots_max = static_cast<uint32_t>(link.params().worker_slots_max);
    shm::set_field(ready.kernel_isa, kernel_isa);
    return link.send_ready(ready);
}

ExitCode run_loop(StepLoop& loop, std::vector<shm::Message> later) {
    g_draining_loop.store(&loop);
    std::signal(SIGTERM, [](int) { g_draining_loop.load()->ask_to_drain(); });
    for (shm::Message& message : later)
        loop.on_message(std::move(message));
    const ExitCode code = loop.run();
    std::signal(SIGTERM, SIG_IGN);  // the loop is about to go, and so are we
    return code;
}

}  // namespace bitnetd::worker
