// What the command line says, as the message that asks for it.
#include <charconv>
#include <filesystem>

#include "shm/control/text_field.h"
#include "supervisor/ctl/server_commands.h"
#include "supervisor/lifecycle/settings/settings_check.h"

namespace bitnetd::supervisor {
namespace {

using shm::Command;
using shm::OrderKind;

// Fields are cut to their size when they are set; nothing may be cut that means something.
template <size_t N>
Result<void> set_whole(char (&field)[N], std::string_view what, std::string_view text) {
    if (text.empty()) return invalid(std::string(what) + ": expected something, found nothing");
    if (text.size() >= N) {
        return invalid(std::string(what) + ": longer than " + std::to_string(N - 1) + " bytes");
    }
    shm::set_field(field, text);
    return {};
}

// The server has another working directory.
Result<std::string> absolute_path(const std::string& path) {
    std::error_code failed;
    const auto absolute = std::filesystem::absolute(path, failed);
    if (failed) return io_error("find out where " + path + " is", failed.value());
    return absolute.lexically_normal().string();
}

Result<uint64_t> slot_of(std::string_view text) {
    constexpr std::string_view kRole = "worker/";
    std::string_view digits = text;
    if (digits.starts_with(kRole)) digits.remove_prefix(kRole.size());
    uint32_t slot = 0;
    const char* end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, slot);
    if (error != std::errc() || stop != end) {
        return invalid("SLOT: expected a worker's number, found \"" + shm::printable(text) +
                       "\"; bitnetctl status shows them");
    }
    return slot;
}

shm::SwapStrategy strategy_of(std::string_view name) {
    if (name == "rolling") return shm::SwapStrategy::kRolling;
    if (name == "blue_green") return shm::SwapStrategy::kBlueGreen;
    return {};  // 0: as configured
}

Result<void> name_model(const ServerCommand& command, shm::OrderMessage& order) {
    std::string id = command.model;
    std::string path = command.path;
    if (command.order == OrderKind::kLoad) {
        auto source = parse_model_source(command.model);
        if (!source.ok())
            return invalid("MODEL: expected ID=PATH or PATH, found \"" +
                           shm::printable(command.model) + "\"");
        id = source->id;
        path = source->path;
    }
    BITNETD_TRY(set_whole(order.model, "ID", id));
    if (command.order != OrderKind::kLoad && command.order != OrderKind::kSwap) return {};
    if (path.empty()) return invalid("PATH: expected something, found nothing");
    BITNETD_ASSIGN(const std::string absolute, absolute_path(path));
    return set_whole(order.path, "PATH", absolute);
}

Result<void> set_order(const ServerCommand& command, shm::OrderMessage& order) {
    order.kind = command.order;
    order.strategy = strategy_of(command.strategy);
    order.rollback_on_failure = command.keep_failed ? 0 : 1;
    order.timeout_s = command.timeout_s;
    order.accuracy_min = command.accuracy_min;
    if (command.prompts.size() > std::size(order.prompts)) {
        return invalid("--test-prompt: at most " + std::to_string(std::size(order.prompts)));
    }
    for (const std::string& prompt : command.prompts) {
        BITNETD_TRY(set_whole(order.prompts[order.test_prompts], "--test-prompt", prompt));
        ++order.test_prompts;
    }
    return name_model(command, order);
}

}  // namespace

Result<shm::CommandMessage> message_of(const ServerCommand& command) {
    shm::CommandMessage message{};
    message.command = command.command;
    if (command.waits()) message.flags = shm::kCommandWatch;
    switch (command.command) {
        case Command::kRestartWorker: {
            BITNETD_ASSIGN(message.argument, slot_of(command.worker));
            break;
        }
        case Command::kLogLevel:
            shm::set_field(message.text, command.level);
            break;
        case Command::kOrder:
            BITNETD_TRY(set_order(command, message.order));
            break;
        case Command::kRollouts:
            message.argument = command.count == 0 ? kRolloutsUsual : command.count;
            break;
        case Command::kStatus:
        case Command::kDrain:
        case Command::kReload:
        case Command::kUpgrade:
            break;
    }
    return message;
}

}  // namespace bitnetd::supervisor
