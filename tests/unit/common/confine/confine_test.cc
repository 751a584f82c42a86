// Goal: a confined process cannot do what its role must not, and still can do its work.
// Method: fork, confine the child, let it try, and look at the number it exits with: 0, or the line
// of the first expectation that failed. The parent is never confined.
#include "common/confine/confine.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace bitnetd {
namespace {

// In the child: leaves with the line when the condition does not hold. (Exit codes have eight bits;
// the tests below are short enough for that to tell.)
#define EXPECT_IN_CHILD(condition)                   \
    do {                                             \
        if (!(condition)) _exit(__LINE__ % 251 + 1); \
    } while (false)

// The exit code of a child that is confined and runs `body`; -1 when a signal ended it.
int run_confined(Profile profile, const std::function<void()>& body) {
    const pid_t child = fork();
    if (child == 0) {
        if (!confine(profile).ok()) _exit(255);
        body();
        _exit(0);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool denied(long result) {
    return result == -1 && (errno == EPERM || errno == ENOSYS);
}

class Confine : public testing::TestWithParam<Profile> {
  protected:
    void SetUp() override {
        if (!confine_works()) GTEST_SKIP() << "sanitizer builds are not confined";
    }
};

TEST_P(Confine, OpensNoFiles) {
    EXPECT_EQ(run_confined(GetParam(),
                           [] {
                               EXPECT_IN_CHILD(denied(open("/etc/hostname", O_RDONLY)));
                               EXPECT_IN_CHILD(denied(open("/proc/self/maps", O_RDONLY)));
                               EXPECT_IN_CHILD(denied(
                                   syscall(SYS_openat2, AT_FDCWD, "/etc/hostname", nullptr, 0)));
                               EXPECT_IN_CHILD(denied(mkdir("/tmp/confined", 0700)));
                               EXPECT_IN_CHILD(denied(unlink("/tmp/confined")));
                               EXPECT_IN_CHILD(denied(memfd_create("confined", 0)));
                               struct stat status {};
                               EXPECT_IN_CHILD(stat("/etc/hostname", &status) == -1);
                           }),
              0);
}

TEST_P(Confine, StartsNoPrograms) {
    EXPECT_EQ(run_confined(GetParam(),
                           [] {
                               char name[] = "/bin/true";
                               char* arguments[] = {name, nullptr};
                               EXPECT_IN_CHILD(denied(execve(name, arguments, nullptr)));
                               EXPECT_IN_CHILD(denied(fork()));
                               EXPECT_IN_CHILD(denied(vfork()));
                           }),
              0);
}

TEST_P(Confine, LooksIntoNobody) {
    const pid_t parent = getpid();
    EXPECT_EQ(run_confined(
                  GetParam(),
                  [parent] {
                      char byte = 0;
                      iovec local{&byte, 1};
                      iovec remote{&byte, 1};
                      EXPECT_IN_CHILD(denied(ptrace(PTRACE_ATTACH, parent, nullptr, nullptr)));
                      EXPECT_IN_CHILD(denied(process_vm_readv(parent, &local, 1, &remote, 1, 0)));
                      EXPECT_IN_CHILD(denied(process_vm_writev(parent, &local, 1, &remote, 1, 0)));
                      EXPECT_IN_CHILD(denied(syscall(SYS_pidfd_open, parent, 0)));
                      EXPECT_IN_CHILD(denied(syscall(SYS_pidfd_getfd, 0, 0, 0)));
                      EXPECT_IN_CHILD(denied(kill(parent, 0)));
                      EXPECT_IN_CHILD(denied(syscall(SYS_tgkill, parent, parent, 0)));
                  }),
              0);
}

// The owner of a descriptor gets a signal of the owner's choice when it can be read: SIGKILL for a
// sibling, were it allowed.
TEST_P(Confine, SignalsNobodyByDescriptors) {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    const pid_t parent = getpid();
    EXPECT_EQ(run_confined(GetParam(),
                           [&] {
                               const int copy = dup(ends[0]);
                               f_owner_ex owner{F_OWNER_PID, parent};
                               int pid = parent;
                               EXPECT_IN_CHILD(copy > 3);
                               EXPECT_IN_CHILD(denied(fcntl(copy, F_SETOWN, parent)));
                               EXPECT_IN_CHILD(denied(fcntl(copy, F_SETOWN_EX, &owner)));
                               EXPECT_IN_CHILD(denied(fcntl(copy, F_SETSIG, SIGKILL)));
                               EXPECT_IN_CHILD(denied(ioctl(copy, FIOSETOWN, &pid)));
                               EXPECT_IN_CHILD(denied(ioctl(copy, SIOCSPGRP, &pid)));
                           }),
              0);
    close(ends[0]);
    close(ends[1]);
}

TEST_P(Confine, MovesNobodysThreads) {
    const pid_t parent = getpid();
    EXPECT_EQ(run_confined(
                  GetParam(),
                  [parent] {
                      cpu_set_t cores;
                      sched_param parameters{};
                      EXPECT_IN_CHILD(sched_getaffinity(0, sizeof cores, &cores) == 0);
                      EXPECT_IN_CHILD(denied(sched_setaffinity(parent, sizeof cores, &cores)));
                      EXPECT_IN_CHILD(denied(sched_setscheduler(parent, SCHED_IDLE, &parameters)));
                      EXPECT_IN_CHILD(denied(setpriority(PRIO_PROCESS, parent, 19)));
                      EXPECT_IN_CHILD(denied(syscall(SYS_migrate_pages, parent, 0, 0, 0)));
                      rlimit none{};
                      EXPECT_IN_CHILD(denied(prlimit(parent, RLIMIT_NOFILE, nullptr, &none)));
                      EXPECT_IN_CHILD(denied(prlimit(0, RLIMIT_NOFILE, &none, nullptr)));
                  }),
              0);
}

// Whatever else a kernel offers. With arguments of zero none of these does harm should it be
// allowed; root, as in CI, would then hear of the arguments and not of privileges.
TEST_P(Confine, AsksTheKernelForNothingElse) {
    struct Call {
        const char* name;
        long number;
    };
#define BITNETD_CALL(name) \
    { #name, SYS_##name }
    static constexpr Call kCalls[] = {
        // other names for what there is already
        BITNETD_CALL(openat), BITNETD_CALL(open_by_handle_at), BITNETD_CALL(name_to_handle_at),
        BITNETD_CALL(execveat), BITNETD_CALL(unlinkat), BITNETD_CALL(renameat2),
        BITNETD_CALL(linkat), BITNETD_CALL(symlinkat), BITNETD_CALL(mkdirat),
        BITNETD_CALL(readlinkat), BITNETD_CALL(getdents64), BITNETD_CALL(chdir),
        BITNETD_CALL(fchmod), BITNETD_CALL(fchown), BITNETD_CALL(truncate), BITNETD_CALL(bind),
        BITNETD_CALL(listen), BITNETD_CALL(sendmmsg), BITNETD_CALL(recvmmsg), BITNETD_CALL(tkill),
        BITNETD_CALL(rt_sigqueueinfo), BITNETD_CALL(rt_tgsigqueueinfo),
        BITNETD_CALL(pidfd_send_signal), BITNETD_CALL(process_madvise), BITNETD_CALL(kcmp),
        BITNETD_CALL(pkey_mprotect), BITNETD_CALL(memfd_secret), BITNETD_CALL(shmget),
        BITNETD_CALL(shmat), BITNETD_CALL(msgget), BITNETD_CALL(semget), BITNETD_CALL(mq_open),
        BITNETD_CALL(clone3), BITNETD_CALL(wait4),
        // who it is and what it sees
        BITNETD_CALL(setuid), BITNETD_CALL(setgid), BITNETD_CALL(setresuid),
        BITNETD_CALL(setgroups), BITNETD_CALL(capset), BITNETD_CALL(setsid), BITNETD_CALL(unshare),
        BITNETD_CALL(setns), BITNETD_CALL(chroot), BITNETD_CALL(pivot_root), BITNETD_CALL(mount),
        BITNETD_CALL(umount2), BITNETD_CALL(fsopen), BITNETD_CALL(open_tree), BITNETD_CALL(seccomp),
        BITNETD_CALL(personality), BITNETD_CALL(landlock_create_ruleset),
        // of the kernel itself
        BITNETD_CALL(bpf), BITNETD_CALL(perf_event_open), BITNETD_CALL(userfaultfd),
        BITNETD_CALL(io_uring_setup), BITNETD_CALL(io_setup), BITNETD_CALL(keyctl),
        BITNETD_CALL(add_key), BITNETD_CALL(init_module), BITNETD_CALL(finit_module),
        BITNETD_CALL(kexec_load), BITNETD_CALL(reboot), BITNETD_CALL(swapon),
        BITNETD_CALL(settimeofday), BITNETD_CALL(clock_settime), BITNETD_CALL(syslog),
        BITNETD_CALL(quotactl), BITNETD_CALL(fanotify_init), BITNETD_CALL(inotify_init1),
        BITNETD_CALL(splice), BITNETD_CALL(vmsplice), BITNETD_CALL(mlockall)};
#undef BITNETD_CALL
    for (const Call& call : kCalls) {
        const auto try_it = [&call] {
            _exit(denied(syscall(call.number, 0, 0, 0, 0, 0, 0)) ? 0 : 1);
        };
        EXPECT_EQ(run_confined(GetParam(), try_it), 0) << call.name;
    }
}

TEST_P(Confine, MakesNoSockets) {
    EXPECT_EQ(run_confined(GetParam(),
                           [] {
                               int ends[2];
                               EXPECT_IN_CHILD(denied(socket(AF_INET, SOCK_STREAM, 0)));
                               EXPECT_IN_CHILD(denied(socket(AF_UNIX, SOCK_STREAM, 0)));
                               EXPECT_IN_CHILD(denied(socketpair(AF_UNIX, SOCK_STREAM, 0, ends)));
                               EXPECT_IN_CHILD(denied(connect(0, nullptr, 0)));
                           }),
              0);
}

TEST_P(Confine, ReplacesStandardErrorAlone) {
    EXPECT_EQ(run_confined(GetParam(),
                           [] {
                               EXPECT_IN_CHILD(dup3(1, STDERR_FILENO, 0) == STDERR_FILENO);
                               EXPECT_IN_CHILD(denied(dup3(1, 7, 0)));
                           }),
              0);
}

TEST_P(Confine, KeepsMemoryThreadsAndDescriptors) {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    const int memory = memfd_create("shared", MFD_ALLOW_SEALING);
    const int bell = eventfd(0, EFD_NONBLOCK);
    ASSERT_EQ(ftruncate(memory, 4096), 0);
    EXPECT_EQ(
        run_confined(GetParam(),
                     [&] {
                         struct stat status {};
                         EXPECT_IN_CHILD(fstat(memory, &status) == 0 && status.st_size == 4096);
                         void* map =
                             mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
                         EXPECT_IN_CHILD(map != MAP_FAILED);
                         std::memset(map, 7, 4096);
                         EXPECT_IN_CHILD(munmap(map, 4096) == 0);
                         const uint64_t one = 1;
                         EXPECT_IN_CHILD(write(bell, &one, sizeof one) == sizeof one);
                         char text[] = "hello";
                         iovec part{text, sizeof text};
                         msghdr message{};
                         message.msg_iov = &part;
                         message.msg_iovlen = 1;
                         EXPECT_IN_CHILD(sendmsg(ends[1], &message, MSG_NOSIGNAL) == sizeof text);
                         int ran = 0;
                         std::thread([&ran] { ran = 1; }).join();
                         EXPECT_IN_CHILD(ran == 1);
                         std::vector<char> large(64u << 20, 'x');
                         EXPECT_IN_CHILD(large.back() == 'x');
                         EXPECT_IN_CHILD(pread(memory, text, 1, 0) == 1 && text[0] == 7);
                     }),
        0);
    char received[16] = {};
    EXPECT_EQ(recv(ends[0], received, sizeof received, MSG_DONTWAIT), 6);
    EXPECT_STREQ(received, "hello");
    for (const int fd : {ends[0], ends[1], memory, bell})
        close(fd);
}

TEST_P(Confine, CanStillAbort) {
    const pid_t child = fork();
    if (child == 0) {
        if (!confine(GetParam()).ok()) _exit(255);
        std::abort();
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

std::string role_name(const testing::TestParamInfo<Profile>& role) {
    switch (role.param) {
        case Profile::kLoader:
            return "Loader";
        case Profile::kWorker:
            return "Worker";
        case Profile::kGpuWorker:
            return "GpuWorker";
        case Profile::kFrontend:
            break;
    }
    return "Frontend";
}

INSTANTIATE_TEST_SUITE_P(Roles, Confine,
                         testing::Values(Profile::kLoader, Profile::kWorker, Profile::kGpuWorker,
                                         Profile::kFrontend),
                         role_name);

TEST(ConfineRoles, OnlyTheFrontendAcceptsAndMayMakeCode) {
    if (!confine_works()) GTEST_SKIP() << "sanitizer builds are not confined";
    const auto try_role = [] {
        int result = 0;
        if (!denied(accept4(0, nullptr, nullptr, 0))) result |= 1;
        void* map = mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (map != MAP_FAILED) result |= 2;
        if (!denied(epoll_create1(0))) result |= 4;
        map = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (!denied(mprotect(map, 4096, PROT_READ | PROT_EXEC))) result |= 8;
        _exit(result);
    };
    EXPECT_EQ(run_confined(Profile::kLoader, try_role), 0);
    EXPECT_EQ(run_confined(Profile::kWorker, try_role), 4);
    EXPECT_EQ(run_confined(Profile::kFrontend, try_role), 15);
}

// It holds listening sockets, which can be made ordinary ones again, and one of those connects by
// what it sends.
TEST(ConfineRoles, TheFrontendConnectsToNobody) {
    if (!confine_works()) GTEST_SKIP() << "sanitizer builds are not confined";
    const auto listen_somewhere = [](sockaddr_in& address) {
        const int socket_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        socklen_t length = sizeof address;
        EXPECT_EQ(listen(socket_fd, 4), 0);
        EXPECT_EQ(getsockname(socket_fd, reinterpret_cast<sockaddr*>(&address), &length), 0);
        return socket_fd;
    };
    sockaddr_in own{};
    sockaddr_in other{};
    const int listener = listen_somewhere(own);
    const int target = listen_somewhere(other);
    other.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(run_confined(Profile::kFrontend,
                           [&] {
                               char byte = 0;
                               iovec part{&byte, 1};
                               msghdr message{};
                               message.msg_name = &other;
                               message.msg_namelen = sizeof other;
                               message.msg_iov = &part;
                               message.msg_iovlen = 1;
                               const auto* address = reinterpret_cast<const sockaddr*>(&other);
                               EXPECT_IN_CHILD(shutdown(listener, SHUT_RDWR) == 0);
                               EXPECT_IN_CHILD(denied(sendto(listener, &byte, 1, MSG_FASTOPEN,
                                                             address, sizeof other)));
                               EXPECT_IN_CHILD(denied(sendmsg(listener, &message, MSG_FASTOPEN)));
                               EXPECT_IN_CHILD(denied(connect(listener, address, sizeof other)));
                           }),
              0);
    EXPECT_EQ(accept(target, nullptr, nullptr), -1);
    close(listener);
    close(target);
}

// Filters are programs for the kernel, and closing a socket that lingers keeps whoever got it last.
TEST(ConfineRoles, TheFrontendSetsTheOptionsItNeeds) {
    if (!confine_works()) GTEST_SKIP() << "sanitizer builds are not confined";
    const int client = socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_EQ(run_confined(Profile::kFrontend,
                           [client] {
                               const auto set = [client](int level, int option) {
                                   const int value[2] = {1, 1};
                                   return setsockopt(client, level, option, value, sizeof value);
                               };
                               EXPECT_IN_CHILD(set(IPPROTO_TCP, TCP_NODELAY) == 0);
                               EXPECT_IN_CHILD(set(IPPROTO_TCP, TCP_USER_TIMEOUT) == 0);
                               EXPECT_IN_CHILD(denied(set(SOL_SOCKET, SO_LINGER)));
                               EXPECT_IN_CHILD(denied(set(SOL_SOCKET, SO_ATTACH_FILTER)));
                               EXPECT_IN_CHILD(denied(set(SOL_SOCKET, SO_BINDTODEVICE)));
                               EXPECT_IN_CHILD(denied(set(IPPROTO_TCP, TCP_ULP)));
                               EXPECT_IN_CHILD(denied(set(IPPROTO_TCP, TCP_REPAIR)));
                           }),
              0);
    close(client);
}

TEST(ConfineRoles, OnlyAGpuWorkerAsksDevices) {
    if (!confine_works()) GTEST_SKIP() << "sanitizer builds are not confined";
    // Of a driver: type 'F', and a number without a type.
    constexpr unsigned long kOfDrivers[] = {_IOWR('F', 0x2a, long), 0x30000001};
    const int file = open("/dev/null", O_RDWR | O_CLOEXEC);
    const int high = fcntl(file, F_DUPFD_CLOEXEC, 100);
    const auto try_role = [&] {
        int result = 0;
        for (const unsigned long order : kOfDrivers) {
            if (!denied(ioctl(high, order, nullptr))) result |= 1;
            if (!denied(ioctl(STDERR_FILENO, order, nullptr))) result |= 2;
        }
        char byte = 'x';
        if (!denied(ioctl(STDIN_FILENO, TIOCSTI, &byte))) result |= 4;
        _exit(result);
    };
    EXPECT_EQ(run_confined(Profile::kLoader, try_role), 0);
    EXPECT_EQ(run_confined(Profile::kWorker, try_role), 0);
    EXPECT_EQ(run_confined(Profile::kFrontend, try_role), 0);
    EXPECT_EQ(run_confined(Profile::kGpuWorker, try_role), 1);
    close(file);
    close(high);
}

TEST(ConfineRoles, TheWorkerPinsItsThreads) {
    if (!confine_works()) GTEST_SKIP() << "sanitizer builds are not confined";
    EXPECT_EQ(run_confined(Profile::kWorker,
                           [] {
                               cpu_set_t cores;
                               EXPECT_IN_CHILD(sched_getaffinity(0, sizeof cores, &cores) == 0);
                               EXPECT_IN_CHILD(sched_setaffinity(0, sizeof cores, &cores) == 0);
                           }),
              0);
}

#if defined(__x86_64__)
// Whatever Linux answers where there is no AMX, the question must reach it. (The worker asks before
// it confines itself, the loader after.)
TEST(ConfineRoles, ThoseWithKernelsMayAskForAmx) {
    if (!confine_works()) GTEST_SKIP() << "sanitizer builds are not confined";
    const auto try_role = [] {
        constexpr int kRequestPermission = 0x1023, kTileData = 18, kSetGs = 0x1001;
        int result = 0;
        if (!denied(syscall(SYS_arch_prctl, kRequestPermission, kTileData))) result |= 1;
        if (!denied(syscall(SYS_arch_prctl, kSetGs, 0))) result |= 2;
        _exit(result);
    };
    EXPECT_EQ(run_confined(Profile::kLoader, try_role), 1);
    EXPECT_EQ(run_confined(Profile::kWorker, try_role), 1);
    EXPECT_EQ(run_confined(Profile::kFrontend, try_role), 0);
}
#endif

TEST(ConfineRoles, TheLoaderSizesAndSealsMemory) {
    if (!confine_works()) GTEST_SKIP() << "sanitizer builds are not confined";
    const int memory = memfd_create("weights", MFD_ALLOW_SEALING);
    EXPECT_EQ(
        run_confined(Profile::kLoader,
                     [memory] {
                         EXPECT_IN_CHILD(ftruncate(memory, 1 << 20) == 0);
                         EXPECT_IN_CHILD(fcntl(memory, F_ADD_SEALS,
                                               F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW) == 0);
                         EXPECT_IN_CHILD(ftruncate(memory, 0) == -1);
                     }),
        0);
    close(memory);
}

TEST(CloseFdsFrom, ClosesWhatWasInherited) {
    const pid_t child = fork();
    if (child == 0) {
        const int first = fcntl(0, F_DUPFD, 100);
        const int second = fcntl(0, F_DUPFD, 200);
        close_fds_from(150);
        _exit(fcntl(first, F_GETFD) >= 0 && fcntl(second, F_GETFD) < 0 ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

}  // namespace
}  // namespace bitnetd
