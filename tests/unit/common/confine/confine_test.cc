// Goal: a confined process cannot do what its role must not, and still can do its work.
// Method: fork, confine the child, let it try, and look at the number it exits with: 0, or the line
// of the first expectation that failed. The parent is never confined.
#include "common/confine/confine.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>
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
        case Profile::kFrontend:
            break;
    }
    return "Frontend";
}

INSTANTIATE_TEST_SUITE_P(Roles, Confine,
                         testing::Values(Profile::kLoader, Profile::kWorker, Profile::kFrontend),
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
        _exit(result);
    };
    EXPECT_EQ(run_confined(Profile::kLoader, try_role), 0);
    EXPECT_EQ(run_confined(Profile::kWorker, try_role), 4);
    EXPECT_EQ(run_confined(Profile::kFrontend, try_role), 7);
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
