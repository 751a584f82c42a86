// What operators ask: models, reload, logs, the state of everything. From frontends (HTTP, checked
// as if hostile) and from the control socket (our own user).
#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/base/clock.h"
#include "common/config/model_alias.h"
#include "common/log/log.h"
#include "shm/control/text_field.h"
#include "supervisor/lifecycle/rollout/rollout_json.h"
#include "supervisor/lifecycle/settings/models_dir.h"
#include "supervisor/lifecycle/supervisor.h"

namespace bitnetd::supervisor {
namespace {

struct Refusal {
    shm::OrderError error;
    std::string text;
};

std::optional<Refusal> check_order(const shm::OrderMessage& order) {
    const std::string_view id = shm::field_text(order.model);
    // A served one may have any name: it can come from that of a file.
    if (order.kind == shm::OrderKind::kLoad && !is_model_name(id)) {
        return Refusal{
            shm::OrderError::kInvalid,
            "model_id: expected letters, digits and \"._:@/-\", found \"" + std::string(id) + "\""};
    }
    const auto kind = static_cast<uint32_t>(order.kind);
    if (kind < 1 || kind > 4) return Refusal{shm::OrderError::kInvalid, "unknown order"};
    const auto strategy = static_cast<uint32_t>(order.strategy);
    if (order.kind == shm::OrderKind::kSwap && strategy > 2) {
        return Refusal{shm::OrderError::kInvalid, "unknown swap_strategy"};
    }
    if (!(order.accuracy_min >= 0 && order.accuracy_min <= 1)) {
        return Refusal{shm::OrderError::kInvalid, "min_accuracy: expected 0 .. 1"};
    }
    return std::nullopt;
}

shm::RolloutKind kind_of(shm::OrderKind kind) {
    switch (kind) {
        case shm::OrderKind::kLoad:
            return shm::RolloutKind::kLoad;
        case shm::OrderKind::kSwap:
            return shm::RolloutKind::kSwap;
        case shm::OrderKind::kRollback:
            return shm::RolloutKind::kRollback;
        case shm::OrderKind::kRemove:
            return shm::RolloutKind::kRemove;
    }
    return shm::RolloutKind::kLoad;
}

}  // namespace

// `anywhere`: the path need not lie in server.models_dir.
shm::OrderAnswerMessage Supervisor::take_order(const shm::OrderMessage& order, bool anywhere) {
    shm::OrderAnswerMessage answer{};
    answer.request = order.request;
    const auto refuse = [&answer](shm::OrderError error, std::string_view text) {
        answer.error = error;
        shm::set_field(answer.text, text);
        return answer;
    };
    if (!shutdown_.serving() || !was_ready_) {
        return refuse(shm::OrderError::kNotNow, "the server is starting or stopping");
    }
    if (const auto refused = check_order(order)) return refuse(refused->error, refused->text);
    if (is_changing()) {
        return refuse(shm::OrderError::kRolloutInProgress, "another rollout is in progress");
    }
    Change change;
    change.kind = kind_of(order.kind);
    const bool is_said = order.strategy != shm::SwapStrategy{};
    change.strategy = is_said ? order.strategy : strategy_of(settings_.params);
    change.rolls_back = order.rollback_on_failure != 0;
    change.source.id = shm::field_text(order.model);
    const bool is_served = models_.serving(change.source.id) != nullptr;
    if (change.kind == shm::RolloutKind::kLoad && is_served) {
        return refuse(shm::OrderError::kInvalid,
                      "model_id: \"" + change.source.id + "\" is served already; swap it");
    }
    if (change.kind != shm::RolloutKind::kLoad && !is_served) {
        return refuse(shm::OrderError::kModelNotFound,
                      "no model \"" + change.source.id + "\" is served");
    }
    Params params = settings_.params;
    if (order.accuracy_min > 0)
        params.model_accuracy_min = "all=" + std::to_string(order.accuracy_min);
    if (order.timeout_s > 0) {
        params.server_load_timeout_ms =
            std::min(params.server_load_timeout_ms, uint64_t{order.timeout_s} * 1000);
    }
    change.params = std::make_shared<const Params>(std::move(params));
    change.configured = std::make_shared<const Params>(settings_.params);
    for (uint32_t i = 0; i < std::min(order.test_prompts, shm::kTestPromptsMax); ++i)
        change.prompts.emplace_back(shm::field_text(order.prompts[i]));
    if (change.kind == shm::RolloutKind::kRollback) {
        const RolloutRecord* last = rollouts_.history().last_replacement(change.source.id);
        if (last == nullptr) {
            return refuse(shm::OrderError::kNothingToRollBack,
                          "nothing is known of what \"" + change.source.id + "\" served before");
        }
        change.source.path = last->old_path;
        change.digest = last->old_digest;
    } else if (change.kind != shm::RolloutKind::kRemove) {
        change.source.path = shm::field_text(order.path);
        if (!anywhere) {
            auto inside =
                path_in_models_dir(settings_.params.server_models_dir, change.source.path);
            if (!inside.ok())
                return refuse(shm::OrderError::kPathNotAllowed, inside.error().message);
            change.source.path = std::move(*inside);
        }
    }
    answer.rollout = rollouts_.begin(std::move(change));
    return answer;
}

// Of this process and its children, those to come too.
void Supervisor::set_log_level(std::string_view level) {
    log_level_ = level;
    log::set_level(level);  // it was checked
    for (const auto role : {shm::Role::kFrontend, shm::Role::kWorker}) {
        fleet_.table().for_each_running(role, [level](Process& process) {
            process.child->send_text(shm::MessageType::kLogLevel, level);
        });
    }
    log::info("log_level", {{"level", level}});
}

void Supervisor::command(const shm::CommandMessage& command, std::shared_ptr<CommandReply> reply) {
    switch (command.command) {
        case shm::Command::kStatus:
            reply->text(status_text());
            return reply->end(false, "");
        case shm::Command::kRollouts: {
            nlohmann::json list = nlohmann::json::array();
            for (const RolloutRecord& record : rollouts_.history().records()) {
                if (command.argument != 0 && list.size() >= command.argument) break;
                list.push_back(to_json(record.message));
            }
            reply->text(list.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace));
            return reply->end(false, "");
        }
        case shm::Command::kDrain:
            reply->end(false, "draining");
            return on_terminate();
        case shm::Command::kReload:
            return answer_with(reload(), command, std::move(reply));
        case shm::Command::kUpgrade: {
            auto begun = upgrade(reply, (command.flags & shm::kCommandWatch) != 0);
            if (!begun.ok()) reply->end(true, begun.error().message);
            return;
        }
        case shm::Command::kRestartWorker:
            return answer_with(restart_worker(command.argument), command, std::move(reply));
        case shm::Command::kLogLevel: {
            log::Level parsed;
            const std::string_view level = shm::field_text(command.text);
            if (!log::parse_level(level, parsed)) {
                return reply->end(true, "expected debug, info, warn or error, found \"" +
                                            std::string(level) + "\"");
            }
            set_log_level(level);
            return reply->end(false, "log level " + std::string(level));
        }
        case shm::Command::kOrder: {
            const auto answer = take_order(command.order, /*anywhere=*/true);
            if (answer.error != shm::OrderError::kNone) {
                return reply->end(true, shm::field_text(answer.text));
            }
            return answer_with(Started{{answer.rollout}, ""}, command, std::move(reply));
        }
    }
    reply->end(true, "unknown command " + std::to_string(static_cast<uint32_t>(command.command)));
}

// With kCommandWatch the reply is kept until all that was started is over.
void Supervisor::answer_with(Result<Started> started, const shm::CommandMessage& command,
                             std::shared_ptr<CommandReply> reply) {
    if (!started.ok()) return reply->end(true, started.error().message);
    const bool watch = (command.flags & shm::kCommandWatch) != 0;
    if (!watch || started->rollouts.empty()) {
        std::string text = started->text;
        for (const uint64_t number : started->rollouts)
            text += (text.empty() ? "rollout-" : "; rollout-") + std::to_string(number);
        return reply->end(false, text);
    }
    watchers_.push_back({std::move(*started), false, std::move(reply)});
}

void Supervisor::tell_watchers(const shm::RolloutMessage& moved) {
    const std::string line =
        to_json(moved).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
    for (Watcher& watcher : watchers_) {
        auto& waiting = watcher.started.rollouts;
        const auto found = std::find(waiting.begin(), waiting.end(), moved.number);
        if (found == waiting.end()) continue;
        watcher.reply->text(line);
        if (moved.outcome == shm::RolloutOutcome::kRunning) continue;
        waiting.erase(found);
        // What fails first is the reason of all that is dropped after it.
        if (moved.outcome != shm::RolloutOutcome::kCompleted && !watcher.has_failed) {
            watcher.has_failed = true;
            watcher.started.text = std::string(to_string(moved.outcome)) + ": " +
                                   std::string(shm::field_text(moved.reason));
        }
        if (waiting.empty()) watcher.reply->end(watcher.has_failed, watcher.started.text);
    }
    std::erase_if(watchers_, [](const Watcher& watcher) {
        return watcher.started.rollouts.empty() || !watcher.reply->is_open();
    });
}

Result<Supervisor::Started> Supervisor::restart_worker(uint64_t index) {
    if (!shutdown_.serving() || !was_ready_) {
        return Error{ErrorCode::kUnavailable, "the server is starting or stopping"};
    }
    if (is_changing()) {
        return Error{ErrorCode::kUnavailable, "another rollout is in progress; try again after it"};
    }
    for (const Slot* slot : fleet_.table().serving(shm::Role::kWorker)) {
        if (slot->index != index) continue;
        Change change;
        change.kind = shm::RolloutKind::kReload;
        change.build = build_;
        change.rolls_workers = true;
        change.only_worker = slot->index;
        return Started{{rollouts_.begin(std::move(change))}, ""};
    }
    return Error{ErrorCode::kNotFound, "no worker has slot " + std::to_string(index)};
}

}  // namespace bitnetd::supervisor
