// Goal: sockets listen where they should, vanish when they should, and never steal another's place.
// Method: real sockets on loopback and in a temporary folder.
#include "supervisor/lifecycle/settings/listeners.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/un.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/supervisor/lifecycle/test_server.h"

namespace bitnetd::supervisor {
namespace {

ListenAddress address_of(const std::string& text) {
    auto address = parse_listen_address(text);
    EXPECT_TRUE(address.ok()) << text;
    return address.ok() ? *address : ListenAddress{};
}

bool accepts(const std::string& text) {
    const ListenAddress address = address_of(text);
    const Fd client(socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
    return connect(client.get(), reinterpret_cast<const sockaddr*>(&address.address),
                   address.length) == 0;
}

TEST(Listeners, Ipv4WithAChosenPort) {
    Listeners listeners;
    ASSERT_TRUE(listeners.open(address_of("127.0.0.1:0"), 0660).ok());
    ASSERT_EQ(listeners.all().size(), 1u);
    EXPECT_NE(listeners.all()[0].address, "127.0.0.1:0");
    EXPECT_TRUE(accepts(listeners.all()[0].address));
    EXPECT_EQ(fcntl(listeners.all()[0].socket.get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

TEST(Listeners, Ipv6LeavesIpv4Alone) {
    Listeners listeners;
    auto opened = listeners.open(address_of("[::]:0"), 0660);
    if (!opened.ok()) GTEST_SKIP() << "no IPv6 here: " << opened.error().message;
    const std::string text = listeners.all()[0].address;
    const std::string port = text.substr(text.rfind(':'));
    EXPECT_TRUE(accepts("[::1]" + port));
    // IPV6_V6ONLY: the same port of IPv4 is still free.
    EXPECT_TRUE(listeners.open(address_of("0.0.0.0" + port), 0660).ok());
}

TEST(Listeners, TakenAddressNamesItAndSaysWhatToDo) {
    Listeners first;
    ASSERT_TRUE(first.open(address_of("127.0.0.1:0"), 0660).ok());
    Listeners second;
    const auto opened = second.open(address_of(first.all()[0].address), 0660);
    ASSERT_FALSE(opened.ok());
    EXPECT_NE(opened.error().message.find(first.all()[0].address), std::string::npos);
    EXPECT_NE(opened.error().message.find("--listen"), std::string::npos);
}

TEST(Listeners, UnixSocketHasItsModeAndVanishes) {
    const TemporaryFolder folder;
    const std::string path = folder.path() + "/s";
    Listeners listeners;
    ASSERT_TRUE(listeners.open(address_of("unix:" + path), 0620).ok());
    struct stat info {};
    ASSERT_EQ(lstat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777u, 0620u);
    EXPECT_TRUE(accepts("unix:" + path));
    listeners.close_all();
    EXPECT_NE(lstat(path.c_str(), &info), 0);
}

TEST(Listeners, StaleUnixSocketIsReplacedALiveOneIsNot) {
    const TemporaryFolder folder;
    const std::string text = "unix:" + folder.path() + "/s";
    {
        // Left behind as by a killed server: bound, closed, not unlinked.
        const ListenAddress address = address_of(text);
        const Fd dead(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        ASSERT_TRUE(bind_unix(dead.get(), address, 0600).ok());
    }
    Listeners live;
    ASSERT_TRUE(live.open(address_of(text), 0660).ok());
    Listeners thief;
    EXPECT_FALSE(thief.open(address_of(text), 0660).ok());
    EXPECT_TRUE(accepts(text));
}

TEST(Listeners, OtherFilesAreNeverRemoved) {
    const TemporaryFolder folder;
    const std::string path = folder.path() + "/precious";
    std::ofstream(path) << "text";
    Listeners listeners;
    const auto opened = listeners.open(address_of("unix:" + path), 0660);
    ASSERT_FALSE(opened.ok());
    EXPECT_NE(opened.error().message.find("not a socket"), std::string::npos);
    EXPECT_EQ(access(path.c_str(), F_OK), 0);
}

TEST(Listeners, OneIsClosedByWhatWasAskedFor) {
    const TemporaryFolder folder;
    const std::string path = folder.path() + "/http.sock";
    Listeners listeners;
    ASSERT_TRUE(listeners.open(address_of("127.0.0.1:0"), 0660).ok());
    ASSERT_TRUE(listeners.open(address_of("unix:" + path), 0660).ok());
    const std::string tcp = listeners.all()[0].address;

    EXPECT_FALSE(listeners.close(address_of("127.0.0.1:1")));
    EXPECT_TRUE(listeners.close(address_of("unix:" + path)));
    EXPECT_FALSE(std::filesystem::exists(path));
    EXPECT_FALSE(listeners.close(address_of("unix:" + path)));
    EXPECT_TRUE(accepts(tcp));
    EXPECT_TRUE(listeners.close(address_of("localhost:0")));
    EXPECT_FALSE(accepts(tcp));
    EXPECT_TRUE(listeners.all().empty());
}

// Descriptors that are left to a successor are named by it.
TEST(Listeners, NumbersStayWhenAnotherIsClosed) {
    const TemporaryFolder folder;
    const auto unix_address = [&](const char* name) {
        return address_of("unix:" + folder.path() + "/" + name);
    };
    Listeners listeners;
    for (const char* name : {"a", "b"})
        ASSERT_TRUE(listeners.open(unix_address(name), 0660).ok());
    ASSERT_TRUE(listeners.close(unix_address("a")));
    EXPECT_EQ(listeners.all()[0].number, 1u);
    ASSERT_TRUE(listeners.open(unix_address("c"), 0660).ok());
    EXPECT_EQ(listeners.all()[1].number, 2u);

    Listeners successor;
    for (const auto& it : listeners.all()) {
        Fd socket(fcntl(it.socket.get(), F_DUPFD_CLOEXEC, 0));
        ASSERT_TRUE(successor.adopt(std::move(socket), it.asked, "", it.number).ok());
    }
    EXPECT_EQ(successor.all()[0].number, 1u);
    ASSERT_TRUE(successor.open(unix_address("d"), 0660).ok());
    EXPECT_EQ(successor.all()[2].number, 3u);
}

}  // namespace
}  // namespace bitnetd::supervisor
