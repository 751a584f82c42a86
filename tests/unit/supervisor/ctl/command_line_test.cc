// Goal: the command line means what --help says, and nothing else is accepted.
// Method: argument lists in, the parsed command or the refusal out.
#include "supervisor/ctl/command_line.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <vector>

#include "shm/control/text_field.h"

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

ServerCommand server_command(std::vector<const char*> args) {
    const auto line = read(std::move(args));
    if (!line.ok()) throw std::runtime_error(line.error().message);
    EXPECT_FALSE(line->command);
    return line->server_command.value();
}

TEST(CtlCommandLine, ViewsOfAServer) {
    EXPECT_EQ(server_command({"status"}).answer, Answer::kStatus);
    EXPECT_EQ(server_command({"model", "status"}).answer, Answer::kModels);
    EXPECT_EQ(server_command({"rollouts", "-n", "3"}).count, 3u);
    const ServerCommand top = server_command({"top", "--count", "7", "--control", "/c", "--json"});
    EXPECT_EQ(top.answer, Answer::kTop);
    EXPECT_EQ(top.command, shm::Command::kStatus);
    EXPECT_EQ(top.count, 7u);
    EXPECT_EQ(top.control, "/c");
    EXPECT_TRUE(top.json);
    EXPECT_NE(refusal({"top", "-n", "0"}), "");
}

TEST(CtlCommandLine, ChangesOfAServer) {
    EXPECT_EQ(server_command({"drain"}).command, shm::Command::kDrain);
    EXPECT_FALSE(server_command({"reload"}).waits());
    EXPECT_TRUE(server_command({"reload", "--wait"}).waits());
    EXPECT_TRUE(server_command({"upgrade", "--wait"}).waits());
    EXPECT_EQ(server_command({"restart-worker", "worker/2"}).worker, "worker/2");
    EXPECT_EQ(server_command({"log-level", "debug"}).level, "debug");
    EXPECT_NE(refusal({"log-level", "loud"}), "");
    EXPECT_NE(refusal({"restart-worker"}), "");
    EXPECT_NE(refusal({"drain", "now"}), "");
}

TEST(CtlCommandLine, OrdersAboutModelsWaitUnlessToldOtherwise) {
    const ServerCommand load = server_command({"model", "load", "a=/m/a.gguf"});
    EXPECT_EQ(load.order, shm::OrderKind::kLoad);
    EXPECT_TRUE(load.waits());
    EXPECT_EQ(load.model, "a=/m/a.gguf");
    EXPECT_FALSE(server_command({"model", "load", "a=b", "--no-wait"}).waits());
    EXPECT_TRUE(server_command({"model", "load", "a=b", "--wait"}).waits());
    const ServerCommand swap = server_command(
        {"model", "swap", "a", "b.gguf", "--strategy", "blue_green", "--keep-failed", "--timeout",
         "60", "--accuracy-min", "0.99", "--test-prompt", "one", "--test-prompt", "two"});
    EXPECT_EQ(swap.order, shm::OrderKind::kSwap);
    EXPECT_EQ(swap.strategy, "blue_green");
    EXPECT_TRUE(swap.keep_failed);
    EXPECT_EQ(swap.timeout_s, 60u);
    EXPECT_FLOAT_EQ(swap.accuracy_min, 0.99f);
    EXPECT_EQ(swap.prompts, (std::vector<std::string>{"one", "two"}));
    EXPECT_EQ(server_command({"model", "rollback", "a"}).order, shm::OrderKind::kRollback);
    EXPECT_EQ(server_command({"model", "remove", "a"}).order, shm::OrderKind::kRemove);
    EXPECT_NE(refusal({"model", "swap", "a"}), "");
    EXPECT_NE(refusal({"model", "swap", "a", "b", "--strategy", "sideways"}), "");
    EXPECT_NE(refusal({"model", "load", "a=b", "--accuracy-min", "2"}), "");
}

ServerCommand asking_restart(const char* slot) {
    ServerCommand command;
    command.command = shm::Command::kRestartWorker;
    command.worker = slot;
    return command;
}

TEST(CtlMessage, NothingIsCutSilently) {
    ServerCommand command = server_command({"model", "load", "a=rel/m.gguf"});
    auto message = message_of(command);
    ASSERT_TRUE(message.ok()) << message.error().message;
    EXPECT_EQ(shm::field_text(message->order.path),
              (std::filesystem::current_path() / "rel/m.gguf").string());
    EXPECT_EQ(static_cast<uint32_t>(message->order.strategy), 0u);  // as configured

    const auto refused = [](const ServerCommand& wrong) { return !message_of(wrong).ok(); };
    command.model = "a=" + std::string(600, 'x');
    EXPECT_TRUE(refused(command));
    command.model = std::string(200, 'x') + "=/m";
    EXPECT_TRUE(refused(command));
    command = server_command({"model", "rollback", "a"});
    command.model = std::string(128, 'x');
    EXPECT_TRUE(refused(command));
    command.model = "";
    EXPECT_TRUE(refused(command));
    command = server_command({"model", "load", "a=/b"});
    command.prompts.assign(6, "p");
    EXPECT_TRUE(refused(command));
    command.prompts.assign(1, std::string(256, 'p'));
    EXPECT_TRUE(refused(command));
    for (const char* slot : {"", "x", "worker/", "-1", "1x", "99999999999"}) {
        command = asking_restart(slot);
        EXPECT_TRUE(refused(command)) << slot;
    }
    EXPECT_EQ(message_of(asking_restart("worker/12"))->argument, 12u);
}

}  // namespace
}  // namespace bitnetd::supervisor
