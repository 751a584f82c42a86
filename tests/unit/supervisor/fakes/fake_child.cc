// A stand-in for the programs that bitnetd starts, chosen by argv[0]: bitnetd-frontend,
// bitnetd-worker, bitnetd-loader, and spawn-probe for the tests of spawn(). It speaks the control
// protocol for real and reports what it hears as log events ("fake_heard"), which tests read from
// standard error.
//
// A test gives orders by signal: USR1 hang in a step (worker) or stop the heartbeat (frontend),
// USR2 send a message that is not a child's to send (the role that BITNETD_FAKE_BROKEN names: say
// that its last peer's rings are broken), HUP fail a check. BITNETD_FAKE_LOADER chooses
// what the loader does; BITNETD_FAKE_WORKER=exit makes every worker exit before READY, =silent
// never say READY, =stops makes USR1 stop it (SIGSTOP) in the step that hangs. A setting does it
// for workers of one configuration: with worker.null_step_us = 13 they exit before READY. Roles
// that BITNETD_FAKE_HOSTILE names are hostile_child.h, drawn from BITNETD_FAKE_SEED and the
// incarnation; a loader is it for models named "hostile-SEED".
#include <dirent.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/config/exit_codes.h"
#include "common/log/log.h"
#include "shm/abi/weights_abi.h"
#include "shm/control/child_link.h"
#include "shm/control/text_field.h"
#include "tests/unit/supervisor/fakes/hostile_child.h"

namespace bitnetd {
namespace {

constexpr uint64_t kStartTimeoutMs = 30'000;

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
}

std::vector<int> open_descriptors() {
    std::vector<int> numbers;
    DIR* folder = opendir("/proc/self/fd");
    while (const dirent* entry = readdir(folder)) {
        const int number = std::atoi(entry->d_name);
        if (entry->d_name[0] != '.' && number != dirfd(folder)) numbers.push_back(number);
    }
    closedir(folder);
    std::sort(numbers.begin(), numbers.end());
    return numbers;
}

std::string link_of(const char* path) {
    char target[512];
    const ssize_t length = readlink(path, target, sizeof target);
    return length < 0 ? "?" : std::string(target, static_cast<size_t>(length));
}

// Sends what it finds about itself in one packet, then ends as argv[1] says: a number is an exit
// code, "abort" a signal, "wait" lives until the control socket closes.
int spawn_probe(const char* how) {
    std::string report = "fds=";
    for (const int fd : open_descriptors())
        report += std::to_string(fd) + ",";
    sigset_t mask;
    sigprocmask(SIG_SETMASK, nullptr, &mask);
    int blocked = 0;
    for (int number = 1; number < NSIG; ++number)
        blocked += sigismember(&mask, number) == 1;
    struct sigaction pipe_action {};
    sigaction(SIGPIPE, nullptr, &pipe_action);
    int death_signal = 0;
    prctl(PR_GET_PDEATHSIG, &death_signal);
    rlimit core{};
    getrlimit(RLIMIT_CORE, &core);
    report += " stdin=" + link_of("/proc/self/fd/0");
    report +=
        " same_output=" + std::to_string(link_of("/proc/self/fd/1") == link_of("/proc/self/fd/2"));
    report += " own_group=" + std::to_string(getpgrp() == getpid());
    report += " blocked=" + std::to_string(blocked);
    report += " sigpipe_default=" + std::to_string(pipe_action.sa_handler == SIG_DFL);
    report += " death_signal=" + std::to_string(death_signal);
    report += " core=" + std::to_string(core.rlim_cur);
    report += " nice=" + std::to_string(getpriority(PRIO_PROCESS, 0));
    send(shm::kControlFd, report.data(), report.size(), 0);
    if (std::strcmp(how, "abort") == 0) std::abort();
    if (std::strcmp(how, "wait") == 0) {
        pollfd closed{shm::kControlFd, POLLIN, 0};
        poll(&closed, 1, -1);
        char byte = 0;
        return recv(shm::kControlFd, &byte, 1, 0) == 0 ? 0 : 1;
    }
    return std::atoi(how);
}

shm::ModelFacts facts_of(uint64_t file_bytes, uint64_t weights_bytes) {
    shm::ModelFacts facts{};
    facts.parameter_count = 1000;
    facts.weights_bytes = weights_bytes;
    facts.file_bytes = file_bytes;
    facts.context = 64;
    facts.vocab = 256;
    facts.hidden = 32;
    facts.layers = 2;
    facts.kv_heads = 2;
    facts.head_dim = 8;
    shm::set_field(facts.architecture, "fake");
    shm::set_field(facts.quantization, "I2_S");
    shm::set_field(facts.digest, "00112233");
    facts.accuracy_count = 1;
    facts.accuracy[0] = {"I2_S", 0.9997f};
    facts.cross_validation = 0.9996f;
    return facts;
}

constexpr std::string_view kHostileModel = "hostile-";

// `model`: what clients call what it loads.
int fake_loader(std::string_view model) {
    shm::Channel channel{Fd(shm::kControlFd)};
    if (model.starts_with(kHostileModel)) {
        HostileChild(channel, std::strtoull(model.data() + kHostileModel.size(), nullptr, 10))
            .live(nullptr, false);
    }
    const uint64_t deadline = monotonic_ns() + kStartTimeoutMs * kNsPerMs;
    auto settings = channel.wait(deadline);
    auto order = channel.wait(deadline);
    uint32_t files = 0;
    uint64_t file_bytes = 0;
    while (order.ok() && order->type == shm::MessageType::kModelFile) {
        const auto file = order->as<shm::ModelFileMessage>();
        if (!file.ok() || order->fds.size() != 1) return kExitProtocol;
        ++files;
        file_bytes += file->bytes;
        order = channel.wait(deadline);
    }
    if (!settings.ok() || !order.ok() || order->fds.size() != 2) return kExitProtocol;
    const auto load = order->as<shm::LoadMessage>();
    if (!load.ok() || load->file_count != files || load->file_bytes != file_bytes) {
        return kExitProtocol;
    }
    const std::string how = environment("BITNETD_FAKE_LOADER");
    if (how == "refuse") {
        static_cast<void>(channel.send_text(shm::MessageType::kLoadFailed,
                                            "tensor blk.0.ffn_up.weight: expected 512 bytes"));
        return kExitModelRefused;
    }
    if (how == "crash") std::abort();
    shm::LoadProgressMessage progress{};
    progress.percent = how == "nonsense" ? 400 : 50;
    shm::set_field(progress.phase, "pack");
    static_cast<void>(channel.send(shm::MessageType::kLoadProgress, progress));
    constexpr uint64_t kBytes = 8192;
    if (ftruncate(order->fds[0].get(), kBytes) != 0 ||
        ftruncate(order->fds[1].get(), kBytes) != 0) {
        return kExitInternal;
    }
    if (how != "unsealed") {
        BITNETD_CHECK(shm::seal_weights(order->fds[0].get()).ok());
        BITNETD_CHECK(shm::seal_weights(order->fds[1].get()).ok());
    }
    static_cast<void>(channel.send(shm::MessageType::kLoaded, facts_of(load->file_bytes, kBytes)));
    return kExitOk;
}

void report(shm::ChildLink& link, const char* what, log::Fields fields) {
    log::Field incarnation("incarnation", link.incarnation());
    if (fields.size() == 0) {
        log::info("fake_heard", {{"what", what}, incarnation});
        return;
    }
    const log::Field* field = fields.begin();
    if (fields.size() == 2) {
        log::info("fake_heard", {{"what", what}, incarnation, field[0], field[1]});
    } else {
        log::info("fake_heard", {{"what", what}, incarnation, field[0]});
    }
}

uint64_t bytes_of(const Fd& file) {
    struct stat info {};
    return fstat(file.get(), &info) == 0 ? static_cast<uint64_t>(info.st_size) : 0;
}

struct Orders {
    bool hang = false;
    uint64_t last_peer = 0;  // incarnation
};

// False: told to end.
bool hear(shm::ChildLink& link, const shm::Message& message, Orders& orders) {
    switch (message.type) {
        case shm::MessageType::kPeer: {
            const auto peer = message.as<shm::PeerMessage>();
            BITNETD_CHECK(message.fds.size() == 4);
            report(link, "peer", {{"peer", peer->incarnation}, {"credits", peer->credits}});
            orders.last_peer = peer->incarnation;
            report(link, "rings",
                   {{"requests", bytes_of(message.fds[0])}, {"tokens", bytes_of(message.fds[1])}});
            return true;
        }
        case shm::MessageType::kPeerGone: {
            const auto gone = message.as<shm::PeerGoneMessage>();
            report(link, "peer_gone",
                   {{"peer", gone->incarnation}, {"end", static_cast<uint32_t>(gone->end)}});
            return true;
        }
        case shm::MessageType::kModel:
            report(link, "model", {{"id", shm::field_text(message.as<shm::ModelMessage>()->id)}});
            return true;
        case shm::MessageType::kModelStanding: {
            const auto standing = message.as<shm::ModelStandingMessage>();
            report(link, "standing",
                   {{"model", standing->model_key}, {"default", standing->is_default}});
            return true;
        }
        case shm::MessageType::kListen:
            report(link, "listen",
                   {{"address", shm::field_text(message.as<shm::ListenMessage>()->address)}});
            return true;
        case shm::MessageType::kSelfTest: {
            const auto test = message.as<shm::SelfTestMessage>();
            shm::SelfTestDoneMessage done{};
            done.rollout = test->rollout;
            done.worker = test->worker;
            BITNETD_CHECK(link.channel().send(shm::MessageType::kSelfTestDone, done).ok());
            return true;
        }
        case shm::MessageType::kLogLevel:
            report(link, "log_level", {{"heard", message.text()}});
            return true;
        case shm::MessageType::kHealth: {
            const auto health = message.as<shm::HealthMessage>();
            report(link, "health",
                   {{"restarting", health->workers_restarting}, {"draining", health->draining}});
            return true;
        }
        case shm::MessageType::kDrain:
            report(link, "drain", {});
            return false;
        default:
            return true;
    }
}

void obey(shm::ChildLink& link, shm::Role role, uint32_t signal_number, Orders& orders) {
    switch (signal_number) {
        case SIGUSR1:
            orders.hang = true;
            if (role == shm::Role::kWorker) link.board().begin_step({}, monotonic_ns());
            if (environment("BITNETD_FAKE_WORKER") == "stops") raise(SIGSTOP);
            return;
        case SIGUSR2:
            if (environment("BITNETD_FAKE_BROKEN") == shm::to_string(role)) {
                const shm::IncarnationMessage broken{orders.last_peer};
                static_cast<void>(link.channel().send(shm::MessageType::kPeerBroken, broken));
                return;
            }
            static_cast<void>(link.channel().send(shm::MessageType::kLoaded));
            return;
        case SIGHUP:
            BITNETD_CHECK(!"told to fail");
            return;
        default:
            return;
    }
}

int fake_process(shm::Role role) {
    sigset_t ordered;
    sigemptyset(&ordered);
    for (const int number : {SIGUSR1, SIGUSR2, SIGHUP})
        sigaddset(&ordered, number);
    sigprocmask(SIG_BLOCK, &ordered, nullptr);
    const int signals = signalfd(-1, &ordered, SFD_CLOEXEC);

    auto link = shm::ChildLink::start(role, kStartTimeoutMs);
    if (!link.ok()) {
        log::error("fake_start_failed", {{"error", link.error().message}});
        return kExitProtocol;
    }
    if (environment("BITNETD_FAKE_HOSTILE").find(shm::to_string(role)) != std::string::npos) {
        const uint64_t seed = std::strtoull(environment("BITNETD_FAKE_SEED").c_str(), nullptr, 10);
        HostileChild(link->channel(), seed + link->incarnation())
            .live(&*link, role == shm::Role::kFrontend);
    }
    const std::string how = environment("BITNETD_FAKE_WORKER");
    const bool exits = how == "exit" || link->params().worker_null_step_us == 13;
    if (role == shm::Role::kWorker && exits) return kExitSelfCheck;
    report(*link, "settings", {{"log_level", link->params().log_level}});
    Orders orders;
    for (const shm::Message& message : link->take_setup())
        hear(*link, message, orders);
    shm::ReadyMessage ready{};
    ready.slots_max = role == shm::Role::kWorker ? 8 : 0;
    shm::set_field(ready.kernel_isa, role == shm::Role::kWorker ? "fake" : "");
    const bool silent = role == shm::Role::kWorker && how == "silent";
    if (!silent && !link->send_ready(ready).ok()) return kExitLostSupervisor;

    const uint64_t interval_ns = link->params().server_heartbeat_interval_ms * kNsPerMs;
    uint64_t beat_ns = 0;
    while (true) {
        pollfd wait[] = {{link->fd(), POLLIN, 0}, {signals, POLLIN, 0}};
        poll(wait, 2, 20);
        if (const uint64_t now = monotonic_ns(); !orders.hang && now - beat_ns >= interval_ns) {
            link->board().heartbeat(now);
            beat_ns = now;
        }
        signalfd_siginfo info{};
        if ((wait[1].revents & POLLIN) != 0 && read(signals, &info, sizeof info) == sizeof info) {
            obey(*link, role, info.ssi_signo, orders);
        }
        while (true) {
            auto message = link->receive();
            if (!message.ok()) return kExitLostSupervisor;
            if (!message->has_value()) break;
            if (!hear(*link, **message, orders)) return kExitOk;
        }
    }
}

}  // namespace
}  // namespace bitnetd

int main(int argc, char** argv) {
    using namespace bitnetd;
    const std::string_view path = argv[0];
    const std::string_view name = path.substr(path.rfind('/') + 1);
    log::init(name, log::Level::kInfo, log::Format::kJson);
    if (name == "spawn-probe") return spawn_probe(argc > 1 ? argv[1] : "0");
    // bitnetd-loader --model ID
    if (name == "bitnetd-loader") return fake_loader(argc > 2 ? argv[2] : "");
    if (name == "bitnetd-worker") return fake_process(shm::Role::kWorker);
    if (name == "bitnetd-frontend") return fake_process(shm::Role::kFrontend);
    return kExitUsage;
}
