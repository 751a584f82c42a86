// Goal: who is on this machine is told from who is not, however the address is written.
// Method: addresses as the kernel gives them.
#include "supervisor/frontend/http/peer.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <cstring>

namespace bitnetd::frontend::http {
namespace {

Peer describe(const char* text) {
    sockaddr_storage storage{};
    sockaddr_in v4{};
    sockaddr_in6 v6{};
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
        v4.sin_family = AF_INET;
        v4.sin_port = htons(40132);
        std::memcpy(&storage, &v4, sizeof v4);
    } else {
        EXPECT_EQ(inet_pton(AF_INET6, text, &v6.sin6_addr), 1) << text;
        v6.sin6_family = AF_INET6;
        v6.sin6_port = htons(40132);
        std::memcpy(&storage, &v6, sizeof v6);
    }
    return describe_peer(storage);
}

TEST(Peer, LoopbackIsLocal) {
    const std::pair<const char*, const char*> local[] = {{"127.0.0.1", "127.0.0.1:40132"},
                                                         {"127.255.3.4", "127.255.3.4:40132"},
                                                         {"::1", "[::1]:40132"},
                                                         {"::ffff:127.0.0.1", "127.0.0.1:40132"}};
    for (const auto& [address, name] : local) {
        EXPECT_TRUE(describe(address).is_local) << address;
        EXPECT_EQ(describe(address).name, name);
    }
}

TEST(Peer, OthersAreNot) {
    const std::pair<const char*, const char*> remote[] = {{"10.127.0.1", "10.127.0.1:40132"},
                                                          {"0.0.0.0", "0.0.0.0:40132"},
                                                          {"128.0.0.1", "128.0.0.1:40132"},
                                                          {"::", "[::]:40132"},
                                                          {"::2", "[::2]:40132"},
                                                          {"::127.0.0.1", "[::127.0.0.1]:40132"},
                                                          {"fe80::1", "[fe80::1]:40132"},
                                                          {"::ffff:192.0.2.1", "192.0.2.1:40132"}};
    for (const auto& [address, name] : remote) {
        EXPECT_FALSE(describe(address).is_local) << address;
        EXPECT_EQ(describe(address).name, name);
    }
}

TEST(Peer, UnixIsLocalAndTheUnknownIsNot) {
    sockaddr_storage storage{};
    storage.ss_family = AF_UNIX;
    EXPECT_TRUE(describe_peer(storage).is_local);
    EXPECT_EQ(describe_peer(storage).name, "unix");
    EXPECT_FALSE(peer_of(-1).is_local);
    EXPECT_EQ(peer_of(-1).name, "unknown");
}

}  // namespace
}  // namespace bitnetd::frontend::http
