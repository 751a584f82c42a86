// Goal: the command line means what --help says, and nothing else is accepted.
// Method: argument lists in, the parsed command or the refusal out.
#include "supervisor/ctl/command_line.h"

#include <gtest/gtest.h>

#include <vector>

namespace bitnetd::supervisor {
namespace {

Result<CtlCommandLine> read(std::vector<const char*> args) {
    args.insert(args.begin(), "bitnetctl");
    return read_ctl_command_line(static_cast<int>(args.size()), args.data());
}

ModelCommand command(std::vector<const char*> args) {
    const auto line = read(std::move(args));
    if (!line.ok()) throw std::runtime_error(line.error().message);
    return line->command.value();
}

std::string refusal(std::vector<const char*> args) {
    const auto line = read(std::move(args));
    return line.ok() ? "" : line.error().message;
}

std::string text(std::vector<const char*> args) {
    const auto line = read(std::move(args));
    return line.ok() && !line->command ? line->text : "";
}

TEST(CtlCommandLine, EachCommandIsATask) {
    EXPECT_EQ(command({"model", "info", "f"}).task, shm::Task::kInfo);
    EXPECT_EQ(command({"model", "verify", "f"}).task, shm::Task::kVerify);
    EXPECT_EQ(command({"model", "tokenize", "f"}).task, shm::Task::kTokenize);
    EXPECT_EQ(command({"model", "render", "f"}).task, shm::Task::kRender);
    EXPECT_EQ(command({"model", "convert", "f", "o"}).task, shm::Task::kConvert);
    EXPECT_EQ(command({"model", "info", "some/folder"}).model, "some/folder");
}

TEST(CtlCommandLine, DefaultsAndFlags) {
    const ModelCommand plain = command({"model", "convert", "in", "out"});
    EXPECT_EQ(plain.out, "out");
    EXPECT_EQ(plain.ternary_type, "I2_S");
    EXPECT_EQ(plain.float_type, "");
    EXPECT_EQ(plain.i2s_layout, "128/32");
    EXPECT_FALSE(plain.force || plain.json);
    const ModelCommand full =
        command({"model", "convert", "in", "out", "--type", "tq2_0", "--floats", "q8_0", "--force",
                 "--json", "--i2s-layout", "sequential", "--tl-tiles", "256x256=128,64,32"});
    EXPECT_EQ(full.ternary_type, "TQ2_0");
    EXPECT_EQ(full.float_type, "Q8_0");
    EXPECT_EQ(full.i2s_layout, "sequential");
    EXPECT_EQ(full.tl_tiles, "256x256=128,64,32");
    EXPECT_TRUE(full.force && full.json);
    const ModelCommand ids = command({"model", "tokenize", "f", "--add-special"});
    EXPECT_TRUE(ids.add_special);
    EXPECT_FALSE(ids.parse_special);
    EXPECT_EQ(command({"model", "render", "f", "--template", "t"}).template_path, "t");
}

TEST(CtlCommandLine, RefusesWhatItDoesNotKnow) {
    for (const auto& args :
         std::vector<std::vector<const char*>>{{},
                                               {"model"},
                                               {"model", "info"},
                                               {"model", "info", "f", "g"},
                                               {"model", "convert", "f"},
                                               {"model", "convert", "f", "o", "--type", "Q4_K"},
                                               {"model", "convert", "f", "o", "--floats", "I2_S"},
                                               {"model", "verify", "f", "--i2s-layout", "32/8"},
                                               {"model", "verify", "f", "--tl-tiles", "256=1"},
                                               {"model", "tokenize", "f", "--json"},
                                               {"frobnicate"}}) {
        EXPECT_NE(refusal(args).find("--help"), std::string::npos);
    }
    EXPECT_NE(refusal({"model", "convert", "f", "o", "--type", "Q4_K"}).find("Q4_K"),
              std::string::npos);
}

TEST(CtlCommandLine, HelpEndsWithOneLineEndAndNamesTheExitCodes) {
    for (const auto& args : std::vector<std::vector<const char*>>{{"--help"},
                                                                  {"model", "--help"},
                                                                  {"model", "info", "--help"},
                                                                  {"model", "convert", "-h"}}) {
        const std::string help = text(args);
        ASSERT_FALSE(help.empty());
        EXPECT_NE(help.find("Exit code: 0 done, 1 refused or failed"), std::string::npos);
        EXPECT_TRUE(help.ends_with(".\n") && !help.ends_with("\n\n"));
    }
    EXPECT_EQ(text({"--version"}), std::string("bitnetctl ") + BITNETD_VERSION + "\n");
}

}  // namespace
}  // namespace bitnetd::supervisor
