// Goal: defaults, file, environment and flags are read in that order; mistakes name their place.
// Method: each source alone, then one over the other.
#include "supervisor/lifecycle/settings/command_line.h"

#include <gtest/gtest.h>

#include <filesystem>
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
    auto list = read({}, {"BITNETD_SERVER__ALIAS=a=b,\x01,c=d"});
    ASSERT_FALSE(list.ok());
    EXPECT_TRUE(list.error().message.starts_with("environment BITNETD_SERVER__ALIAS: "));
    const TemporaryFolder folder;
    const std::string path = folder.path() + "/c.toml";
    std::ofstream(path) << "[server]\n\nworkers = 1000\n";
    auto file = read({"--config", path.c_str()});
    ASSERT_FALSE(file.ok());
    EXPECT_NE(file.error().message.find("c.toml:3"), std::string::npos) << file.error().message;
    EXPECT_FALSE(read({"--config", "/nowhere/c.toml"}).ok());
}

TEST(CommandLine, AFileHasListsOnlyWhereTheyBelong) {
    const TemporaryFolder folder;
    const std::string path = folder.path() + "/c.toml";
    for (const char* list : {"[1, 2]", "[]", "[3]"}) {
        std::ofstream(path) << "[server]\nworkers = " << list << "\n";
        auto file = read({"--config", path.c_str()});
        ASSERT_FALSE(file.ok()) << list;
        EXPECT_NE(file.error().message.find("c.toml:2: server.workers: expected one value"),
                  std::string::npos)
            << file.error().message;
    }
}

// What only shows when all settings are there.
TEST(CommandLine, RulesOverSeveralRowsNameThePlaceToo) {
    const TemporaryFolder folder;
    const std::string path = folder.path() + "/c.toml";
    std::ofstream(path) << "[server]\nmodel = [\"m.gguf\"]\nfrontends = 4\n\n[kv]\n"
                           "type = \"f64\"\n";
    const auto error_of = [&](std::vector<const char*> args, std::vector<const char*> variables) {
        args.insert(args.begin(), {"--config", path.c_str()});
        const auto line = read(std::move(args), std::move(variables));
        EXPECT_TRUE(line.ok()) << line.error().message;
        const auto settings = settings_of(*line);
        return settings.ok() ? "" : settings.error().message;
    };
    EXPECT_EQ(error_of({}, {}),
              path + ":6: kv.type: expected one of f32, f16, int8, found \"f64\"");
    EXPECT_EQ(error_of({}, {"BITNETD_KV__TYPE=f8"}),
              "environment BITNETD_KV__TYPE: kv.type: expected one of f32, f16, int8, found "
              "\"f8\"");
    EXPECT_EQ(error_of({"--kv.type", "f9"}, {"BITNETD_KV__TYPE=f8"}),
              "command line: kv.type: expected one of f32, f16, int8, found \"f9\"");
    // The rule is broken by the row that was set; the other one has its default.
    EXPECT_TRUE(error_of({"--kv.type", "f16"}, {"BITNETD_WORKER__SLOTS_MAX=2"})
                    .starts_with("environment BITNETD_WORKER__SLOTS_MAX: worker.slots_max: "));
    std::ofstream(path, std::ios::trunc)
        << "[server]\nmodel = [\n  \"a/m.gguf\",\n  \"b/m.gguf\",\n]\n";
    EXPECT_TRUE(error_of({}, {}).starts_with(path + ":2: server.model: two models"));
    // Nothing to point to.
    std::ofstream(path, std::ios::trunc) << "";
    EXPECT_TRUE(error_of({}, {}).starts_with("server.model: there is nothing to serve"));
}

TEST(CommandLine, IsReadAgainAsTheFileIsThen) {
    const TemporaryFolder folder;
    const std::string path = folder.path() + "/c.toml";
    const std::vector<const char*> args = {"bitnetd", "--config", path.c_str(), "--workers", "2"};
    char* environment[] = {const_cast<char*>("BITNETD_LOG__LEVEL=warn"), nullptr};
    const auto again = [&] { return read_settings(5, args.data(), environment); };

    std::ofstream(path) << "[server]\nmodel = [\"m.gguf\"]\nalias = [\"x=m\"]\n";
    ASSERT_TRUE(again().ok());
    EXPECT_EQ(again()->params.server_alias, std::vector<std::string>{"x=m"});

    std::ofstream(path, std::ios::trunc) << "[server]\nmodel = [\"m.gguf\"]\nworkers = 0\n";
    ASSERT_FALSE(again().ok());
    EXPECT_TRUE(again().error().message.starts_with(path + ":3: server.workers: "));

    std::ofstream(path, std::ios::trunc) << "[server]\nmodel = [\"n.gguf\"]\n";
    const auto settings = again();
    ASSERT_TRUE(settings.ok()) << settings.error().message;
    EXPECT_EQ(settings->models[0].id, "n");
    EXPECT_TRUE(settings->params.server_alias.empty());
    EXPECT_EQ(settings->params.server_workers, 2u);
    EXPECT_EQ(settings->params.log_level, "warn");

    std::filesystem::remove(path);
    ASSERT_FALSE(again().ok());
    EXPECT_TRUE(again().error().message.starts_with(path + ": ")) << again().error().message;
}

TEST(CommandLine, Actions) {
    EXPECT_EQ(read({"--check-config"})->action, CommandLine::Action::kCheckConfig);
    EXPECT_EQ(read({"--print-effective-config"})->action, CommandLine::Action::kPrintSettings);
    EXPECT_EQ(read({"--version"})->text.rfind("bitnetd ", 0), 0u);
}

}  // namespace
}  // namespace bitnetd::supervisor
