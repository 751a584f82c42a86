// Goal: the list of an exec in place comes back as it was; any other text, or a list for another
// process, is refused whole. Names of descriptors are what systemd takes.
// Method: texts made here, the file through its descriptor.
#include "supervisor/lifecycle/handover/handover_list.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "supervisor/lifecycle/handover/fd_name.h"

namespace bitnetd::supervisor {
namespace {

std::string error_of(const std::string& text, pid_t pid = 7) {
    auto parsed = parse_handover(text, pid);
    return parsed.ok() ? "(none)" : parsed.error().message;
}

TEST(HandoverList, ComesBackThroughItsFile) {
    const std::vector<NamedFd> fds = {{"state", 5}, {"p12.board", 11}, {"p12.board", 12}};
    auto file = make_handover_file(handover_text(fds, 7));
    ASSERT_TRUE(file.ok()) << file.error().message;
    EXPECT_EQ(write(file->get(), "x", 1), -1);  // sealed
    auto text = read_handover_file(file->get());
    ASSERT_TRUE(text.ok());
    auto back = parse_handover(*text, 7);
    ASSERT_TRUE(back.ok()) << back.error().message;
    ASSERT_EQ(back->size(), 3u);
    EXPECT_EQ((*back)[1].name, "p12.board");
    EXPECT_EQ((*back)[2].fd, 12);
    EXPECT_TRUE(parse_handover(handover_text({}, 7), 7)->empty());
}

TEST(HandoverList, OtherTextsAreRefused) {
    const std::string head = "bitnetd-handover 1 7\n";
    EXPECT_EQ(error_of(head + "5 state\n"), "(none)");
    for (const std::string& wrong :
         {std::string(), std::string("\n"), std::string("bitnetd-handover 2 7\n"),
          std::string("bitnetd-handover 1 7"), head + "5 state", head + "5\n", head + "\n",
          head + "5  state\n", head + "x state\n", head + "-5 state\n", head + "2 state\n",
          head + "99999999999 state\n", head + "5 a:b\n", head + "5 a\n5 b\n", head + "5 \n"}) {
        EXPECT_NE(error_of(wrong), "(none)") << wrong;
    }
    EXPECT_EQ(error_of(head, 8), "hand-over: made for process '7', this is 8");
}

TEST(HandoverList, OnlyASealedFileIsRead) {
    const Fd unsealed(memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    EXPECT_FALSE(read_handover_file(unsealed.get()).ok());
    const Fd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
    EXPECT_FALSE(read_handover_file(null.get()).ok());
    EXPECT_FALSE(read_handover_file(1'000'000).ok());
}

TEST(FdName, SystemdTakesEveryNameWeMake) {
    for (const std::string& name :
         {fd_name::listener(3), fd_name::model(UINT64_MAX, "vocabulary"),
          fd_name::process(UINT64_MAX, "doorbell"), fd_name::kv_arena(UINT32_MAX),
          fd_name::ring(UINT64_MAX, UINT64_MAX, "requests"), std::string(fd_name::kState),
          std::string(fd_name::kControl)}) {
        EXPECT_TRUE(check_fd_name(name).ok()) << name;
    }
    EXPECT_EQ(fd_name::process(12, "board"), "p12.board");
    EXPECT_EQ(fd_name::ring(3, 12, "tokens"), "r3-12.tokens");
}

}  // namespace
}  // namespace bitnetd::supervisor
