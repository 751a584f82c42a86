// Goal: defaults, file, environment and flags are read in that order; mistakes name their place.
// Method: each source alone, then one over the other.
#include "supervisor/lifecycle/settings/command_line.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/unit/supervisor/lifecycle/test_server.h"

namespace bitnetd::supervisor {
namespace {

Result<CommandLine> read(std::vector<const char*> args, std::vector<const char*> environment = {}) {
    args.insert(args.begin(), "bitnetd");
    std::vector<char*> entries;
    for (const char* entry : environment)
        entries.push_back(const_cast<char*>(entry));
    entries.push_back(nullptr);
    return read_command_line(static_cast<int>(args.size()), args.data(), entries.data());
}

TEST(CommandLine, EveryRowIsInTheHelp) {
    auto line = read({"--help"});
    ASSERT_TRUE(line.ok());
    EXPECT_EQ(line->action, CommandLine::Action::kShowText);
    for (const ParamRow& row : param_rows()) {
        const std::string flag = "--" + std::string(row.section) + "." + std::string(row.name);
        EXPECT_NE(line->text.find(flag), std::string::npos) << flag;
    }
}

TEST(CommandLine, ShortFlagsAndListsTakeSeveral) {
    auto line = read({"--listen", "127.0.0.1:1", "--listen", "[::1]:2", "--model", "a", "--model",
                      "b=c", "--workers", "3", "--tl-tiles", "640x2560=160,64,32"});
    ASSERT_TRUE(line.ok()) << line.error().message;
    EXPECT_EQ(line->params.server_listen, (std::vector<std::string>{"127.0.0.1:1", "[::1]:2"}));
    EXPECT_EQ(line->params.server_model, (std::vector<std::string>{"a", "b=c"}));
    EXPECT_EQ(line->params.server_workers, 3u);
    EXPECT_EQ(line->params.model_tl_tiles, "640x2560=160,64,32");
    EXPECT_EQ(line->action, CommandLine::Action::kRun);
}

TEST(CommandLine, FlagsWinOverEnvironmentOverFile) {
    const TemporaryFolder folder;
    const std::string path = folder.path() + "/c.toml";
    std::ofstream(path)
        << "[server]\nworkers = 2\nlisten = [\"127.0.0.1:1\"]\nhang_timeout_ms = 7000\n"
           "[kv]\ntype = \"f16\"\n";
    auto line = read({"--config", path.c_str(), "--workers", "4"},
                     {"BITNETD_SERVER__WORKERS=3", "BITNETD_SERVER__LISTEN=127.0.0.1:2,127.0.0.1:3",
                      "BITNETD_KV__TYPE=f32", "BITNETD_SEED=1"});
    ASSERT_TRUE(line.ok()) << line.error().message;
    EXPECT_EQ(line->params.server_workers, 4u);
    EXPECT_EQ(line->params.server_listen, (std::vector<std::string>{"127.0.0.1:2", "127.0.0.1:3"}));
    EXPECT_EQ(line->params.kv_type, "f32");
    EXPECT_EQ(line->params.server_hang_timeout_ms, 7000u);
}

TEST(CommandLine, MistakesNameTheirPlace) {
    auto flag = read({"--workers", "0"});
    ASSERT_FALSE(flag.ok());
    EXPECT_NE(flag.error().message.find("server.workers"), std::string::npos);
    auto unknown = read({"--wokers", "1"});
    ASSERT_FALSE(unknown.ok());
    EXPECT_NE(unknown.error().message.find("--wokers"), std::string::npos);
    auto environment = read({}, {"BITNETD_SERVER__WOKERS=1"});
    ASSERT_FALSE(environment.ok());
    EXPECT_NE(environment.error().message.find("BITNETD_SERVER__WOKERS"), std::string::npos);
    const TemporaryFolder folder;
    const std::string path = folder.path() + "/c.toml";
    std::ofstream(path) << "[server]\n\nworkers = 1000\n";
    auto file = read({"--config", path.c_str()});
    ASSERT_FALSE(file.ok());
    EXPECT_NE(file.error().message.find("c.toml:3"), std::string::npos) << file.error().message;
    EXPECT_FALSE(read({"--config", "/nowhere/c.toml"}).ok());
}

TEST(CommandLine, Actions) {
    EXPECT_EQ(read({"--check-config"})->action, CommandLine::Action::kCheckConfig);
    EXPECT_EQ(read({"--print-effective-config"})->action, CommandLine::Action::kPrintSettings);
    EXPECT_EQ(read({"--version"})->text.rfind("bitnetd ", 0), 0u);
}

}  // namespace
}  // namespace bitnetd::supervisor
