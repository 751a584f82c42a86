// Goal: an address is understood as written, or refused with a reason.
// Method: good ones there and back, bad ones by their message.
#include "supervisor/lifecycle/settings/listen_address.h"

#include <gtest/gtest.h>

namespace bitnetd::supervisor {
namespace {

TEST(ListenAddress, GoodOnes) {
    struct Case {
        const char* text;
        const char* canonical;
        bool loopback;
    };
    for (const Case& c :
         {Case{"127.0.0.1:8080", "127.0.0.1:8080", true}, Case{"127.8.9.1:1", "127.8.9.1:1", true},
          Case{"localhost:80", "127.0.0.1:80", true}, Case{"0.0.0.0:65535", "0.0.0.0:65535", false},
          Case{"[::1]:0", "[::1]:0", true}, Case{"[::]:8080", "[::]:8080", false},
          Case{"unix:/run/x.sock", "unix:/run/x.sock", true}}) {
        auto address = parse_listen_address(c.text);
        ASSERT_TRUE(address.ok()) << address.error().message;
        EXPECT_EQ(listen_address_text(address->address, address->length), c.canonical);
        EXPECT_EQ(address->loopback, c.loopback) << c.text;
    }
}

TEST(ListenAddress, BadOnes) {
    const std::string long_path = "unix:/" + std::string(200, 'a');
    for (const char* text :
         {"", "8080", ":8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1",
          "127.0.0.1:80x", "1.2.3:80", "example.com:80", "::1:80", "[::1]", "[::1:80", "[zz]:80",
          "unix:", "unix:relative", long_path.c_str()}) {
        auto address = parse_listen_address(text);
        ASSERT_FALSE(address.ok()) << text;
        EXPECT_NE(address.error().message.find("expected HOST:PORT"), std::string::npos) << text;
    }
}

}  // namespace
}  // namespace bitnetd::supervisor
