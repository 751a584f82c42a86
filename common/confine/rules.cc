#include "common/confine/rules.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <initializer_list>
#include <span>
#include <string>

namespace bitnetd {
namespace {

#ifndef PR_SET_VMA
constexpr int PR_SET_VMA = 0x53564d41;
#endif
constexpr int kArchReqXcompPerm = 0x1023;  // arch_prctl: asks for the AMX tile state

// Everybody: descriptors they already have, memory that is not executable, threads, time, exit.
constexpr int kCommon[] = {
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(readv),
    SCMP_SYS(writev),
    SCMP_SYS(pread64),
    SCMP_SYS(pwrite64),
    SCMP_SYS(lseek),
    SCMP_SYS(close),
    SCMP_SYS(fstat),
    SCMP_SYS(dup),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(recvmsg),
    SCMP_SYS(getsockopt),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(brk),
    SCMP_SYS(membarrier),
    SCMP_SYS(futex),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(getcpu),
    SCMP_SYS(gettid),
    SCMP_SYS(getpid),
    SCMP_SYS(getppid),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(getrandom),
    SCMP_SYS(getrusage),
    SCMP_SYS(sysinfo),
    SCMP_SYS(uname),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
};

// Sizes the memfds it was given.
constexpr int kLoader[] = {SCMP_SYS(ftruncate)};

// Binds its memory.
constexpr int kWorker[] = {
    SCMP_SYS(mbind),         SCMP_SYS(get_mempolicy),  SCMP_SYS(set_mempolicy),
    SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl),      SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),   SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime),
};

// Accepts on the listening sockets it was given, and runs libuv's loop.
constexpr int kFrontend[] = {
    SCMP_SYS(accept),         SCMP_SYS(accept4),         SCMP_SYS(getsockname),
    SCMP_SYS(getpeername),    SCMP_SYS(shutdown),        SCMP_SYS(recvfrom),
    SCMP_SYS(epoll_create1),  SCMP_SYS(epoll_ctl),       SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),    SCMP_SYS(eventfd2),        SCMP_SYS(pipe2),
    SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime),
};

// Not the owner of a descriptor and the signal it gets: with those a process could kill others.
constexpr int kFcntl[] = {F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD,     F_SETFD,
                          F_GETFL, F_SETFL,         F_ADD_SEALS, F_GET_SEALS};

// Of accepted connections (http/server.cc).
constexpr int kTcpOptions[] = {TCP_NODELAY, TCP_USER_TIMEOUT};

// Tried first by libraries that know another way when they are missing.
constexpr int kMissing[] = {SCMP_SYS(clone3), SCMP_SYS(statx), SCMP_SYS(epoll_pwait2),
                            SCMP_SYS(io_uring_setup)};

class Rules {
  public:
    explicit Rules(scmp_filter_ctx filter) : filter_(filter) {}

    void allow(std::span<const int> calls) {
        for (const int call : calls)
            note(seccomp_rule_add(filter_, SCMP_ACT_ALLOW, call, 0), call);
    }
    void allow_if(int call, std::initializer_list<scmp_arg_cmp> conditions) {
        note(seccomp_rule_add_array(filter_, SCMP_ACT_ALLOW, call,
                                    static_cast<unsigned>(conditions.size()), conditions.begin()),
             call);
    }
    void fail(std::span<const int> calls, int error) {
        for (const int call : calls) {
            note(seccomp_rule_add(filter_, SCMP_ACT_ERRNO(static_cast<uint16_t>(error)), call, 0),
                 call);
        }
    }
    Result<void> result() const {
        if (error_ == 0) return {};
        return io_error("seccomp rule for system call " + std::to_string(failed_call_), error_);
    }

  private:
    void note(int result, int call) {
        if (result == 0 || error_ != 0) return;
        error_ = -result;
        failed_call_ = call;
    }

    scmp_filter_ctx filter_;
    int error_ = 0;
    int failed_call_ = 0;
};

constexpr scmp_arg_cmp equal(unsigned argument, uint64_t value) {
    return {argument, SCMP_CMP_EQ, value, 0};
}
constexpr scmp_arg_cmp masked(unsigned argument, uint64_t mask, uint64_t value) {
    return {argument, SCMP_CMP_MASKED_EQ, mask, value};
}

void add_common(Rules& rules) {
    rules.allow(kCommon);
    rules.fail(kMissing, ENOSYS);
    // glibc's fstat is newfstatat with an empty path.
    rules.allow_if(SCMP_SYS(newfstatat), {equal(3, AT_EMPTY_PATH)});
    // Threads, not processes.
    rules.allow_if(SCMP_SYS(clone), {masked(0, CLONE_VM | CLONE_THREAD, CLONE_VM | CLONE_THREAD)});
    // A failed check aborts, a crash point kills: signals to ourselves, and to nobody else.
    const auto self = static_cast<uint64_t>(getpid());
    rules.allow_if(SCMP_SYS(tgkill), {equal(0, self)});
    rules.allow_if(SCMP_SYS(kill), {equal(0, self)});
    for (const int command : kFcntl)
        rules.allow_if(SCMP_SYS(fcntl), {equal(1, static_cast<uint64_t>(command))});
    // With MSG_FASTOPEN a socket is connected to anywhere by what is sent.
    rules.allow_if(SCMP_SYS(sendmsg), {masked(2, MSG_FASTOPEN, 0)});
    // Standard error alone is replaced: log files are rotated.
    rules.allow_if(SCMP_SYS(dup3), {equal(1, STDERR_FILENO), equal(2, 0)});
    // Reads limits, of this process.
    rules.allow_if(SCMP_SYS(prlimit64), {equal(0, 0), equal(2, 0)});
    for (const int option : {PR_SET_NAME, PR_GET_NAME, PR_SET_VMA, PR_GET_DUMPABLE}) {
        rules.allow_if(SCMP_SYS(prctl), {equal(0, static_cast<uint64_t>(option))});
    }
}

// The frontend's regular expressions are compiled to machine code (PCRE2) when a model arrives;
// nobody else makes memory executable.
void add_memory(Rules& rules, Profile profile) {
    if (profile == Profile::kFrontend) {
        rules.allow(std::initializer_list<int>{SCMP_SYS(mmap), SCMP_SYS(mprotect)});
        return;
    }
    rules.allow_if(SCMP_SYS(mmap), {masked(2, PROT_EXEC, 0)});
    rules.allow_if(SCMP_SYS(mprotect), {masked(2, PROT_EXEC, 0)});
}

// The driver is asked by ioctl on the device files that were opened before. Standard input, output
// and error may be a terminal, whose requests can type for its user, so only descriptors of 4 and
// more are allowed: those with any higher bit set (the kernel looks at the low 32). Requests to
// sockets have bit 15, where those to devices have a letter: FIOSETOWN sends signals to others.
void add_device_calls(Rules& rules) {
    constexpr uint64_t kSocketRequest = 0x8000;
    for (unsigned bit = 2; bit < 20; ++bit) {
        rules.allow_if(SCMP_SYS(ioctl), {masked(0, uint64_t{1} << bit, uint64_t{1} << bit),
                                         masked(1, kSocketRequest, 0)});
    }
}

void add_worker_calls(Rules& rules) {
    rules.allow(kWorker);
    rules.allow_if(SCMP_SYS(sched_setaffinity), {equal(0, 0)});  // pins its own threads
}

void add_frontend_calls(Rules& rules) {
    rules.allow(kFrontend);
    rules.allow_if(SCMP_SYS(ioctl), {equal(1, FIONBIO)});  // libuv: on accepted sockets
    rules.allow_if(SCMP_SYS(sendto), {masked(3, MSG_FASTOPEN, 0)});
    for (const int option : kTcpOptions) {
        rules.allow_if(SCMP_SYS(setsockopt),
                       {equal(1, IPPROTO_TCP), equal(2, static_cast<uint64_t>(option))});
    }
}

}  // namespace

Result<void> add_rules(scmp_filter_ctx filter, Profile profile) {
    Rules rules(filter);
    add_common(rules);
    add_memory(rules, profile);
    if (profile != Profile::kFrontend) {  // the loader measures with the worker's kernels
        rules.allow_if(SCMP_SYS(arch_prctl), {equal(0, kArchReqXcompPerm)});
    }
    switch (profile) {
        case Profile::kLoader:
            rules.allow(kLoader);
            break;
        case Profile::kWorker:
            add_worker_calls(rules);
            break;
        case Profile::kGpuWorker:
            add_worker_calls(rules);
            add_device_calls(rules);
            break;
        case Profile::kFrontend:
            add_frontend_calls(rules);
            break;
    }
    return rules.result();
}

}  // namespace bitnetd
