#include "supervisor/ctl/loader_session.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <string>

#include "common/base/clock.h"
#include "common/config/exit_codes.h"
#include "shm/control/text_field.h"
#include "supervisor/lifecycle/process/child_exit.h"
#include "supervisor/lifecycle/process/executables.h"

namespace bitnetd::supervisor {
namespace {

using shm::MessageType;

// When memory runs out, the loader goes before anything that serves.
constexpr int kOomScoreAdj = 800;
// A server on the same machine goes first.
constexpr int kNice = 5;

Result<Fd> open_loader() {
    BITNETD_ASSIGN(const std::string self, own_program());
    const std::string folder = folder_of(self);
    const std::string path = folder + "/bitnetd-loader";
    Fd program(open(path.c_str(), O_PATH | O_CLOEXEC));
    if (!program) {
        return io_error("open " + path + " (bitnetctl and bitnetd-loader are installed together)",
                        errno);
    }
    return program;
}

}  // namespace

Result<LoaderSession> LoaderSession::start() {
    BITNETD_ASSIGN(const Fd program, open_loader());
    BITNETD_ASSIGN(auto ends, shm::Channel::make_pair());
    SpawnPlan plan;
    plan.program = program.get();
    plan.control = ends.second.get();
    plan.args = {"bitnetd-loader"};
    plan.parent_death_signal = SIGKILL;
    plan.oom_score_adj = kOomScoreAdj;
    plan.nice = kNice;
    BITNETD_ASSIGN(Spawned process, spawn(plan));
    return LoaderSession(std::move(process), std::move(ends.first));
}

LoaderSession::~LoaderSession() {
    if (process_.pid <= 0 || !process_.pidfd) return;
    kill(process_.pid, SIGKILL);  // not reaped yet, so the number is still its own
    waitpid(process_.pid, nullptr, 0);
}

Result<TaskEnd> LoaderSession::run(const shm::TaskMessage& task, std::span<const int> fds,
                                   Interrupts& interrupts, ProgressLine& progress) {
    BITNETD_TRY(channel_.send(MessageType::kTask, task, fds));
    TaskEnd end;
    while (true) {
        const auto wanted = static_cast<short>(POLLIN | (channel_.wants_write() ? POLLOUT : 0));
        pollfd ready[] = {{channel_.fd(), wanted, 0}, {interrupts.fd(), POLLIN, 0}};
        if (poll(ready, std::size(ready), -1) < 0 && errno != EINTR) return io_error("poll", errno);
        if (const auto signal = interrupts.take()) {
            end.interrupted_by = *signal;
            return end;
        }
        // A send that fails because the loader is gone is told by what it said last.
        static_cast<void>(channel_.flush());
        while (true) {
            auto message = channel_.receive();
            if (!message.ok() && channel_.closed()) return death();
            if (!message.ok()) return std::move(message).error().within("bitnetd-loader");
            if (!*message) break;
            BITNETD_ASSIGN(const bool last, take(**message, end, progress));
            if (last) return end;
        }
    }
}

// True when it was the last one.
Result<bool> LoaderSession::take(const shm::Message& message, TaskEnd& end,
                                 ProgressLine& progress) {
    BITNETD_TRY(message.expect_fds(0));
    switch (message.type) {
        case MessageType::kTaskProgress: {
            BITNETD_ASSIGN(const auto news, message.as<shm::TaskProgressMessage>());
            if (news.total_bytes == 0) return invalid("bitnetd-loader: progress of nothing");
            const std::string phase = shm::printable(shm::field_text(news.phase));
            progress.show({phase, news.done_bytes, news.total_bytes}, monotonic_ns());
            return false;
        }
        case MessageType::kTaskDone: {
            BITNETD_ASSIGN(const auto done, message.as<shm::TaskDoneMessage>());
            end.refused = done.refused != 0;
            return true;
        }
        case MessageType::kTaskFailed:
            return invalid(shm::printable(message.text()));
        default:
            return invalid("bitnetd-loader: message type " +
                           std::to_string(static_cast<unsigned>(message.type)) +
                           " is not an answer to a task");
    }
}

// The other end of the socket is closed: it has ended, or does so now.
Error LoaderSession::death() {
    pollfd ended{process_.pidfd.get(), POLLIN, 0};
    constexpr int kPatienceMs = 10'000;
    poll(&ended, 1, kPatienceMs);
    const auto exit = reap(process_.pidfd.get());
    if (!exit) return {ErrorCode::kInternal, "bitnetd-loader closed its socket and does not end"};
    process_.pidfd.reset();  // reaped
    std::string why = "bitnetd-loader ended without an answer: " + judge(*exit, {}).reason;
    if (exit->signal == 0 && exit->status == kExitNoMemory) why += " (not enough memory)";
    if (exit->signal == SIGKILL) why += " (by the operator, or by the kernel for want of memory)";
    if (exit->signal == SIGXFSZ) why += " (the file would be larger than this user may write)";
    return {ErrorCode::kInternal, why};
}

}  // namespace bitnetd::supervisor
