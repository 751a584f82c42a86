// A changed configuration: all of it is checked before anything of it is applied.
#include <algorithm>
#include <utility>

#include "common/log/log.h"
#include "supervisor/lifecycle/handover/systemd_link.h"
#include "supervisor/lifecycle/settings/settings_diff.h"
#include "supervisor/lifecycle/settings/worker_devices.h"
#include "supervisor/lifecycle/supervisor.h"

namespace bitnetd::supervisor {
namespace {

std::string list_of(const std::vector<std::string>& keys) {
    std::string text;
    for (const std::string& key : keys)
        text += (text.empty() ? "" : ", ") + key;
    return text;
}

bool is_in(const std::vector<ListenAddress>& addresses, const ListenAddress& address) {
    return std::any_of(addresses.begin(), addresses.end(),
                       [&](const ListenAddress& other) { return same(address, other); });
}

}  // namespace

// A server that starts or stops is not one that reloads, and must not be reported as ready.
void Supervisor::on_hangup() {
    const bool serves = was_ready_ && shutdown_.serving();
    if (serves) systemd::reloading();
    if (auto reloaded = reload(); !reloaded.ok()) {
        log::error("reload_refused", {{"error", reloaded.error().message}});
    }
    if (serves) systemd::ready(status_line());
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
    SettingsChange change = diff(running(), fresh);
    // An order may have set another since.
    if (change.empty()) {
        if (log_level_ != fresh.params.log_level) set_log_level(fresh.params.log_level);
        log::info("reload", {{"changed", ""}});
        return Started{{}, "nothing has changed"};
    }
    // What only a restart applies is not noted either: a successor goes by what we note.
    copy_rows(fresh.params, settings_.params, {bitnetd::Reload::kRestart});
    fresh.unix_mode = settings_.unix_mode;
    for (const std::string& device : worker_devices(fresh.params))
        BITNETD_TRY(check_program_for(*build_->programs, device));
    // The one thing that can still fail comes first.
    BITNETD_TRY(open_new_listeners(change, fresh.unix_mode));
    log::info("reload",
              {{"changed", list_of(change.keys)}, {"need_restart", list_of(change.need_restart)}});
    reload_ = Reload{std::exchange(settings_, std::move(fresh)), std::move(change), {}, 0, {}};
    apply_live();
    const std::vector<std::string>& keys = reload_->change.keys;
    Started started{start_changes(),
                    keys.empty() ? "no setting has changed; what differed from them is changed"
                                 : "changed: " + list_of(keys)};
    if (!reload_->change.need_restart.empty()) {
        started.text += "; only a restart applies: " + list_of(reload_->change.need_restart);
    }
    if (reload_->rollouts.empty()) reload_.reset();
    if (started.rollouts.empty()) {
        models_.forget_refused(settings_.models);
        update_health();
    }
    save_state();
    return started;
}

// What there is: processes and models may be of different configurations.
Running Supervisor::running() const {
    Running running{settings_, {}, {}, {}, {}};
    for (const auto& model : models_.models()) {  // those that are still being loaded too
        const bool serves = model->message.standing == shm::ModelStanding::kServing;
        if (serves && model->state != ModelState::kRefused) {
            running.models.push_back({model->source, model->configured.get()});
        }
    }
    for (const auto& listener : listeners_.all())
        running.listen.push_back(listener.asked);
    for (const Slot* slot : fleet_.table().serving(shm::Role::kFrontend))
        running.frontends.push_back(&slot->build->params);
    for (const Slot* slot : fleet_.table().serving(shm::Role::kWorker)) {
        const Model* model = models_.find(slot->model_key);
        running.workers.push_back({model != nullptr ? model->source.id : "", &slot->build->params});
    }
    return running;
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
void Supervisor::apply_live() {
    fleet_.use_limits(settings_.params);
    if (log_level_ != settings_.params.log_level) set_log_level(settings_.params.log_level);
    arm_tick();
    update_health();
    arm_deadline();
}

// Processes first, then models: what a model's roll starts is of the new configuration already.
std::vector<uint64_t> Supervisor::start_changes() {
    std::vector<uint64_t> numbers;
    const SettingsChange& change = reload_->change;
    const auto build = std::make_shared<const Build>(
        Build{build_->number + 1, build_->programs, settings_.params});
    reload_->build = build;
    if (change.frontends || change.workers || change.has_new_sockets()) {
        Change roll;
        roll.kind = shm::RolloutKind::kReload;
        roll.strategy = strategy_of(settings_.params);
        roll.build = build;
        roll.rolls_workers = change.workers;
        roll.rolls_frontends = change.frontends || change.has_new_sockets();
        roll.must_equal = change.keeps_bytes;
        reload_->roll = rollouts_.begin(std::move(roll));
        numbers.push_back(reload_->roll);
    } else {
        use_build(build);
    }
    reload_->rollouts = {numbers.begin(), numbers.end()};
    const auto begin = [&](shm::RolloutKind kind, const ModelSource& source) {
        Change roll;
        roll.kind = kind;
        roll.strategy = strategy_of(settings_.params);
        roll.source = source;
        roll.params = {build, &build->params};
        numbers.push_back(rollouts_.begin(std::move(roll)));
        return numbers.back();
    };
    // One that was refused before is tried again; refused once more, it undoes nothing else.
    for (const ModelSource& source : change.models_missing)
        begin(shm::RolloutKind::kLoad, source);
    for (const ModelSource& source : change.models_added)
        reload_->rollouts.insert(begin(shm::RolloutKind::kLoad, source));
    for (const ModelSource& source : change.models_swapped)
        reload_->rollouts.insert(begin(shm::RolloutKind::kSwap, source));
    for (const ModelSource& source : change.models_removed)
        reload_->rollouts.insert(begin(shm::RolloutKind::kRemove, source));
    choose_default();
    return numbers;
}

// A socket that only one of the two configurations has, to a frontend of the other one.
bool Supervisor::is_withheld(const ListenAddress& address, const Build& build) const {
    if (!reload_ || reload_->roll == 0) return false;
    const bool is_new = &build == reload_->build.get();
    return is_in(is_new ? reload_->change.listen_removed : reload_->change.listen_added, address);
}

// Requests that name no model get the first one of the list that serves.
void Supervisor::choose_default() {
    for (const ModelSource& source : settings_.models) {
        const Model* model = models_.serving(source.id);
        if (model != nullptr) return rollouts_.make_default(model->key);
    }
}

void Supervisor::note_reload_progress(const shm::RolloutMessage& moved) {
    if (!reload_ || moved.outcome == shm::RolloutOutcome::kRunning) return;
    if (reload_->rollouts.erase(moved.number) == 0) return;
    if (moved.outcome != shm::RolloutOutcome::kCompleted) return give_up_reload();
    if (moved.number == reload_->roll) {
        reload_->roll = 0;
        for (const ListenAddress& address : reload_->change.listen_removed)
            listeners_.close(address);
    }
    if (reload_->rollouts.empty()) reload_.reset();
}

// What has not begun is dropped. What is done stays: the next reload compares with what there is,
// so that it goes on from here or back, whichever its file says.
void Supervisor::give_up_reload() {
    const Reload failed = std::move(*reload_);
    reload_.reset();
    rollouts_.drop(failed.rollouts, "an earlier part of this reload failed");
    if (failed.roll != 0) {  // frontends are as they were
        for (const ListenAddress& address : failed.change.listen_added)
            listeners_.close(address);
    }
    settings_ = settings_in_force(failed.before, settings_, build_->params, running().models);
    use_build(
        std::make_shared<const Build>(Build{build_->number, build_->programs, settings_.params}));
    apply_live();
    choose_default();
}

shm::SwapStrategy Supervisor::strategy_of(const Params& params) {
    return params.rollout_strategy == "blue_green" ? shm::SwapStrategy::kBlueGreen
                                                   : shm::SwapStrategy::kRolling;
}

}  // namespace bitnetd::supervisor
