// Goal: a message about settings points to the place of one that was set, and to none that was not.
// Method: places for two settings; messages that name them, others, and things that look like them.
#include "common/config/param_origins.h"

#include <gtest/gtest.h>

namespace bitnetd {
namespace {

std::string located(const ParamOrigins& origins, std::string message) {
    return origins.locate(invalid(std::move(message))).message;
}

TEST(ParamOrigins, TheLastPlaceCounts) {
    ParamOrigins origins;
    EXPECT_EQ(origins.of("kv.type"), "");
    origins.set("kv", "type", "b.toml:3");
    origins.set("kv", "type", "command line");
    EXPECT_EQ(origins.of("kv.type"), "command line");
    EXPECT_EQ(origins.of("kv.bytes"), "");
}

TEST(ParamOrigins, TheFirstSettingThatWasSetIsPointedTo) {
    ParamOrigins origins;
    origins.set("server", "frontends", "b.toml:7");
    origins.set("server", "hang_timeout_ms", "b.toml:9");
    EXPECT_EQ(located(origins, "server.hang_timeout_ms: expected more"),
              "b.toml:9: server.hang_timeout_ms: expected more");
    EXPECT_EQ(located(origins, "worker.slots_max: too few (server.frontends = 9), found 8"),
              "b.toml:7: worker.slots_max: too few (server.frontends = 9), found 8");
}

TEST(ParamOrigins, OtherMessagesStayAsTheyAre) {
    ParamOrigins origins;
    origins.set("kv", "type", "b.toml:1");
    for (const char* message :
         {"", ".", "kv.types: unknown", "the kv.type. end", "my.kv.type", "x"})
        EXPECT_EQ(located(origins, message), message);
    EXPECT_EQ(located(origins, "(kv.type)"), "b.toml:1: (kv.type)");
}

}  // namespace
}  // namespace bitnetd
