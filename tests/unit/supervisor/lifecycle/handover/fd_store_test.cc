// Goal: what is stored is what systemd gets, under its name; a name or a number that systemd would
// drop silently is an error here.
// Method: a notify socket of the test's own that takes the descriptors as systemd does.
#include "supervisor/lifecycle/handover/fd_store.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "tests/unit/supervisor/lifecycle/handover/notify_socket.h"

namespace bitnetd::supervisor {
namespace {

ino_t inode(int fd) {
    struct stat info {};
    EXPECT_EQ(fstat(fd, &info), 0);
    return info.st_ino;
}

Fd memory() {
    return Fd(memfd_create("fd-store-test", MFD_CLOEXEC));
}

TEST(FdStore, StoresUnderItsNameAndRemoves) {
    NotifySocket socket;
    const Environment limit("BITNETD_FD_STORE", "8");
    FdStore store = FdStore::from_environment();
    ASSERT_TRUE(store.available());
    const Fd first = memory();
    const Fd second = memory();
    const int both[] = {first.get(), second.get()};
    ASSERT_TRUE(store.store_all("p12.board", both).ok());

    const Notification stored = socket.receive();
    EXPECT_EQ(stored.text, "FDSTORE=1\nFDPOLL=0\nFDNAME=p12.board");
    ASSERT_EQ(stored.fds.size(), 2u);
    EXPECT_EQ(inode(stored.fds[0].get()), inode(first.get()));
    EXPECT_EQ(inode(stored.fds[1].get()), inode(second.get()));

    ASSERT_TRUE(store.remove("p12.board").ok());
    EXPECT_EQ(socket.receive().text, "FDSTOREREMOVE=1\nFDNAME=p12.board");
    ASSERT_TRUE(store.remove("p12.board").ok());  // not there any more: nothing is sent
    EXPECT_FALSE(socket.has_message());
}

TEST(FdStore, RefusesWhatSystemdWouldDrop) {
    NotifySocket socket;
    const Environment limit("BITNETD_FD_STORE", "3");
    FdStore store = FdStore::from_environment();
    const Fd fd = memory();
    const std::string long_name(201, 'x');
    for (const std::string& name : {std::string(""), std::string("a:b"), std::string("a b"),
                                    std::string("a\nFDNAME=b"), long_name}) {
        EXPECT_EQ(store.store(name, fd.get()).error().code, ErrorCode::kInvalid) << name;
    }
    EXPECT_EQ(store.store_all("none", {}).error().code, ErrorCode::kInvalid);
    EXPECT_EQ(store.store("closed", 1'000'000).error().code, ErrorCode::kIo);

    ASSERT_TRUE(store.store("a", fd.get()).ok());
    EXPECT_EQ(store.store("a", fd.get()).error().code, ErrorCode::kInvalid);  // taken
    store.note("born-with", 1);
    const int both[] = {fd.get(), fd.get()};
    const auto full = store.store_all("b", both);
    EXPECT_EQ(full.error().code, ErrorCode::kExhausted);
    EXPECT_NE(full.error().message.find("FileDescriptorStoreMax="), std::string::npos);
    ASSERT_TRUE(store.remove("born-with").ok());
    EXPECT_TRUE(store.store_all("b", both).ok());

    EXPECT_EQ(socket.receive().value("FDNAME"), "a");
    EXPECT_EQ(socket.receive().value("FDSTOREREMOVE"), "1");
    EXPECT_EQ(socket.receive().value("FDNAME"), "b");
    EXPECT_FALSE(socket.has_message());
}

TEST(FdStore, IsThereOnlyWhenItsSizeIsKnown) {
    EXPECT_FALSE(FdStore::from_environment().available());
    {
        const Environment limit("BITNETD_FD_STORE", "512");
        EXPECT_FALSE(FdStore::from_environment().available());  // nobody listens
    }
    NotifySocket socket;
    EXPECT_FALSE(FdStore::from_environment().available());
    for (const char* wrong : {"", "0", "many", "12x", "-1"}) {
        const Environment limit("BITNETD_FD_STORE", wrong);
        EXPECT_FALSE(FdStore::from_environment().available()) << wrong;
    }
    const Environment told("FDSTORE", "4");  // systemd 254 and later
    FdStore store = FdStore::from_environment();
    ASSERT_TRUE(store.available());
    const std::vector<int> five(5, STDIN_FILENO);
    EXPECT_EQ(store.store_all("x", five).error().code, ErrorCode::kExhausted);
}

TEST(FdStore, WithoutAStoreNothingHappens) {
    FdStore store = FdStore::from_environment();
    EXPECT_TRUE(store.store("a", STDIN_FILENO).ok());
    EXPECT_TRUE(store.remove("a").ok());
}

}  // namespace
}  // namespace bitnetd::supervisor
