#include "supervisor/lifecycle/handover/handover_check.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string_view>

#include "shm/control/text_field.h"
#include "supervisor/lifecycle/handover/handover_version.h"

namespace bitnetd::supervisor {
namespace {

constexpr size_t kReasonBytesMax = 500;

// posix_spawn() with what its attributes need freed.
class SpawnAttributes {
  public:
    explicit SpawnAttributes(int standard_error) {
        sigset_t none, all;
        sigemptyset(&none);
        sigfillset(&all);
        posix_spawnattr_init(&attributes);
        posix_spawnattr_setsigmask(&attributes, &none);
        posix_spawnattr_setsigdefault(&attributes, &all);
        posix_spawnattr_setpgroup(&attributes, 0);  // Ctrl-C is for us alone
        posix_spawnattr_setflags(
            &attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDWR, 0);
        posix_spawn_file_actions_adddup2(&actions, STDIN_FILENO, STDOUT_FILENO);
        posix_spawn_file_actions_adddup2(&actions, standard_error, STDERR_FILENO);
    }
    ~SpawnAttributes() {
        posix_spawnattr_destroy(&attributes);
        posix_spawn_file_actions_destroy(&actions);
    }
    SpawnAttributes(const SpawnAttributes&) = delete;
    SpawnAttributes& operator=(const SpawnAttributes&) = delete;

    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t actions;
};

// The first line of what is in the pipe now, fit for a log.
std::string first_line(int pipe) {
    char text[kReasonBytesMax];
    const ssize_t got = read(pipe, text, sizeof text);
    const std::string_view all(text, got > 0 ? static_cast<size_t>(got) : 0);
    return shm::printable(all.substr(0, all.find('\n')));
}

}  // namespace

Result<std::unique_ptr<HandoverCheck>> HandoverCheck::start(uv_loop_t* loop,
                                                            const std::string& path,
                                                            uint64_t deadline_ms, Done done) {
    std::unique_ptr<HandoverCheck> check(new HandoverCheck(path, std::move(done)));
    BITNETD_TRY(check->run(loop, deadline_ms));
    return check;
}

Result<void> HandoverCheck::run(uv_loop_t* loop, uint64_t deadline_ms) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return io_error("pipe2", errno);
    words_ = Fd(ends[0]);
    const Fd theirs(ends[1]);

    const SpawnAttributes spawn(theirs.get());
    std::string version = handover_version();
    std::string option = "--check-handover";
    char* argv[] = {path_.data(), option.data(), version.data(), nullptr};
    pid_t pid = -1;
    const int error =
        posix_spawn(&pid, path_.c_str(), &spawn.actions, &spawn.attributes, argv, environ);
    if (error != 0) return io_error("run " + path_ + " --check-handover", error);
    // Nobody else reaps our children, so the number still names this one.
    pidfd_ = Fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    if (!pidfd_) {
        const int open_error = errno;
        kill(pid, SIGKILL);
        waitpid(pid, nullptr, 0);
        return io_error("pidfd_open", open_error);
    }
    exit_poller_ = std::make_unique<Poller>(loop, pidfd_.get(), [this] { on_exit(); });
    deadline_timer_ =
        std::make_unique<Timer>(loop, [this, deadline_ms] { on_deadline(deadline_ms); });
    deadline_timer_->start(deadline_ms);
    return {};
}

HandoverCheck::~HandoverCheck() {
    end_process();
}

void HandoverCheck::end_process() {
    deadline_timer_.reset();
    exit_poller_.reset();
    if (!pidfd_) return;
    kill_and_reap(pidfd_.get());
    pidfd_.reset();
}

void HandoverCheck::on_exit() {
    const auto exit = reap(pidfd_.get());
    if (!exit) return;
    exit_poller_.reset();
    pidfd_.reset();
    finish(verdict(*exit));
}

Result<void> HandoverCheck::verdict(const ChildExit& exit) const {
    if (exit.signal == 0 && exit.status == 0) return {};
    std::string reason = first_line(words_.get());
    if (exit.signal != 0) {
        reason = "it was ended by signal " + std::to_string(exit.signal) + " " + reason;
    } else if (reason.empty()) {
        reason = "it exited with " + std::to_string(exit.status) + " and gave no reason";
    }
    return unsupported(path_ + " cannot take over: " + reason);
}

void HandoverCheck::on_deadline(uint64_t deadline_ms) {
    end_process();
    finish(Error{ErrorCode::kUnavailable, path_ +
                                              " cannot take over: no answer to --check-handover "
                                              "within " +
                                              std::to_string(deadline_ms) + " ms"});
}

void HandoverCheck::finish(const Result<void>& result) {
    deadline_timer_.reset();
    const Done done = std::move(done_);
    done(result);  // may destroy this object
}

}  // namespace bitnetd::supervisor
