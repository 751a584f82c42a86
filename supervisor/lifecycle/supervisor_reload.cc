// A changed configuration: all of it is checked before anything of it is applied.
#include <algorithm>

#include "common/log/log.h"
#include "supervisor/lifecycle/handover/systemd_link.h"
#include "supervisor/lifecycle/settings/settings_diff.h"
#include "supervisor/lifecycle/settings/worker_devices.h"
#include "supervisor/lifecycle/supervisor.h"

namespace bitnetd::supervisor {
namespace {

// With another of these a model draws other tokens.
constexpr std::string_view kChangesBytes[] = {"kv.type", "worker.block_inputs",
                                              "worker.bf16_inputs"};

std::string list_of(const std::vector<std::string>& keys) {
    std::string text;
    for (const std::string& key : keys)
        text += (text.empty() ? "" : ", ") + key;
    return text;
}

bool keeps_bytes(const SettingsChange& change) {
    return std::none_of(std::begin(kChangesBytes), std::end(kChangesBytes), [&](auto key) {
        return std::find(change.keys.begin(), change.keys.end(), key) != change.keys.end();
    });
}

}  // namespace

void Supervisor::on_hangup() {
    systemd::reloading();
    if (auto reloaded = reload(); !reloaded.ok()) {
        log::error("reload_refused", {{"error", reloaded.error().message}});
    }
    systemd::ready(status_line());
}

// USR1, after a log file was moved away: what was standard error is opened again by its name.
void Supervisor::on_reopen() {
    auto file = log_file_.reopen();
    if (!file.ok()) {
        log::warn("log_not_reopened", {{"error", file.error().message}});
        return;
    }
    const int fds[] = {file->get()};
    for (const auto role : {shm::Role::kFrontend, shm::Role::kWorker}) {
        fleet_.table().for_each_running(role, [&fds](Process& process) {
            process.child->send_fds(shm::MessageType::kReopenLogs, fds);
        });
    }
    log::info("log_reopened");
}

Result<Supervisor::Started> Supervisor::reload() {
    if (!shutdown_.serving() || !was_ready_) {
        return Error{ErrorCode::kUnavailable, "the server is starting or stopping"};
    }
    if (is_changing()) {
        return Error{ErrorCode::kUnavailable, "another rollout is in progress; try again after it"};
    }
    BITNETD_ASSIGN(Settings fresh, reread_());
    const SettingsChange change = diff(settings_, fresh);
    if (change.empty()) {
        log::info("reload", {{"changed", ""}});
        return Started{{}, "nothing has changed"};
    }
    for (const std::string& device : worker_devices(fresh.params))
        BITNETD_TRY(check_program_for(*build_->programs, device));
    // The one thing that can still fail comes first.
    BITNETD_TRY(open_new_listeners(change, fresh.unix_mode));
    for (const ListenAddress& address : change.listen_removed)
        listeners_.close(address);
    log::info("reload",
              {{"changed", list_of(change.keys)}, {"need_restart", list_of(change.need_restart)}});
    Settings before = std::exchange(settings_, std::move(fresh));
    apply_live(before);
    Started started{start_changes(change), "changed: " + list_of(change.keys)};
    if (!change.need_restart.empty()) {
        started.text += "; only a restart applies: " + list_of(change.need_restart);
    }
    if (!started.rollouts.empty()) {
        reload_ = Reload{{started.rollouts.begin(), started.rollouts.end()}, std::move(before)};
    }
    save_state();
    return started;
}

Result<void> Supervisor::open_new_listeners(const SettingsChange& change, mode_t unix_mode) {
    for (size_t i = 0; i < change.listen_added.size(); ++i) {
        auto opened = listeners_.open(change.listen_added[i], unix_mode);
        if (opened.ok()) continue;
        for (size_t k = 0; k < i; ++k)
            listeners_.close(change.listen_added[k]);
        return opened;
    }
    return {};
}

// What this process itself goes by; the children hear of the log level at once.
void Supervisor::apply_live(const Settings& before) {
    fleet_.use_limits(settings_.params);
    if (before.params.log_level != settings_.params.log_level) {
        set_log_level(settings_.params.log_level);
    }
    const uint64_t interval_ms = settings_.params.server_heartbeat_interval_ms;
    tick_timer_->start(interval_ms, interval_ms);
    update_health();
    arm_deadline();
}

// Processes first, then models: what a model's roll starts is of the new configuration already.
std::vector<uint64_t> Supervisor::start_changes(const SettingsChange& change) {
    std::vector<uint64_t> numbers;
    const auto build = std::make_shared<const Build>(
        Build{build_->number + 1, build_->programs, settings_.params});
    const bool new_sockets = !change.listen_added.empty() || !change.listen_removed.empty();
    if (change.frontends || change.workers || new_sockets) {
        Change roll;
        roll.kind = shm::RolloutKind::kReload;
        roll.strategy = strategy_of(settings_.params);
        roll.build = build;
        roll.rolls_workers = change.workers;
        roll.rolls_frontends = change.frontends || new_sockets;
        roll.must_equal = keeps_bytes(change);
        numbers.push_back(rollouts_.begin(std::move(roll)));
    } else {
        use_build(build);
    }
    const auto params = std::make_shared<const Params>(settings_.params);
    const auto begin = [&](shm::RolloutKind kind, const ModelSource& source) {
        Change roll;
        roll.kind = kind;
        roll.strategy = strategy_of(settings_.params);
        roll.source = source;
        roll.params = params;
        numbers.push_back(rollouts_.begin(std::move(roll)));
    };
    for (const ModelSource& source : change.models_added)
        begin(shm::RolloutKind::kLoad, source);
    for (const ModelSource& source : settings_.models) {
        const auto is_it = [&source](const ModelSource& other) { return other.id == source.id; };
        const bool added =
            std::any_of(change.models_added.begin(), change.models_added.end(), is_it);
        const bool moved =
            std::any_of(change.models_changed.begin(), change.models_changed.end(), is_it);
        if (moved || (change.models_again && !added)) begin(shm::RolloutKind::kSwap, source);
    }
    for (const ModelSource& source : change.models_removed)
        begin(shm::RolloutKind::kRemove, source);
    return numbers;
}

// All of a reload or nothing: when a part was rolled back, the next HUP compares with what was.
void Supervisor::note_reload_progress(const shm::RolloutMessage& moved) {
    if (!reload_ || moved.outcome == shm::RolloutOutcome::kRunning) return;
    if (reload_->rollouts.erase(moved.number) == 0) return;
    if (moved.outcome != shm::RolloutOutcome::kCompleted) {
        const Settings refused = std::exchange(settings_, std::move(reload_->before));
        apply_live(refused);
        reload_.reset();
        return;
    }
    if (reload_->rollouts.empty()) reload_.reset();
}

shm::SwapStrategy Supervisor::strategy_of(const Params& params) {
    return params.rollout_strategy == "blue_green" ? shm::SwapStrategy::kBlueGreen
                                                   : shm::SwapStrategy::kRolling;
}

}  // namespace bitnetd::supervisor
