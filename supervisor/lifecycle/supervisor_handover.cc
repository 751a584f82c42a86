// One supervisor after the other: what is left to a successor, taking over from a predecessor, and
// going on as a new binary in place (mechanics.md section 5).
#include <unistd.h>

#include "common/base/clock.h"
#include "common/log/log.h"
#include "shm/control/text_field.h"
#include "supervisor/lifecycle/handover/fd_name.h"
#include "supervisor/lifecycle/handover/reexec.h"
#include "supervisor/lifecycle/handover/systemd_link.h"
#include "supervisor/lifecycle/supervisor.h"

namespace bitnetd::supervisor {
namespace {

// Between two looks whether all messages to children are out, and how often to look.
constexpr uint64_t kFlushPauseMs = 5;
constexpr uint32_t kFlushLooksMax = 400;

}  // namespace

SupervisorSnapshot Supervisor::capture(std::vector<NamedFd>& fds) const {
    SupervisorSnapshot snapshot;
    const auto add = [&fds](std::string name, int fd) {
        fds.push_back({name, fd});
        return name;
    };
    snapshot.build = BITNETD_VERSION;
    snapshot.executable = self_.path;
    snapshot.args = self_.args;
    // All of a reload or nothing: who finds it unfinished goes back.
    const Settings& settings = reload_ ? reload_->before : settings_;
    snapshot.settings = print_settings(settings.params);
    snapshot.started_ns = started_ns_;
    snapshot.was_ready = was_ready_;
    snapshot.next_model_key = models_.last_key() + 1;
    snapshot.next_rollout = rollouts_.history().last_number() + 1;
    for (const auto& listener : listeners_.all()) {
        snapshot.listeners.push_back(
            {listener.number, listen_address_text(listener.asked.address, listener.asked.length),
             listener.address, listener.unix_path,
             add(fd_name::listener(listener.number), listener.socket.get())});
    }
    if (control_fd_ >= 0) {
        snapshot.control = {settings_.params.server_control,
                            add(std::string(fd_name::kControl), control_fd_)};
    }
    for (const auto& model : models_.models()) {
        if (!model->is_loaded()) continue;  // a loader ends with us
        const auto name = [&model](std::string_view what) {
            return fd_name::model(model->key, what);
        };
        ModelSnapshot it;
        it.key = model->key;
        it.id = model->source.id;
        it.path = model->source.path;
        it.loaded_unix_s = model->message.loaded_unix_s;
        it.is_default = model->message.is_default != 0;
        it.standing = model->message.standing;
        it.facts = model->message.facts;
        it.weights_fd = add(name("weights"), model->weights.get());
        it.vocabulary_fd = add(name("vocabulary"), model->vocabulary.get());
        snapshot.models.push_back(std::move(it));
    }
    for (NamedFd& program : named(*build_->programs))
        fds.push_back(std::move(program));
    fleet_.capture(snapshot, fds);
    const auto running = rollouts_.running();
    if (running || cut_off_) snapshot.rollout = RolloutSnapshot{running ? *running : *cut_off_};
    return snapshot;
}

void Supervisor::save_state() {
    if (!estate_.outlives_us() || shutdown_.phase() == ShutdownPhase::kDone) return;
    std::vector<NamedFd> fds;
    const SupervisorSnapshot snapshot = capture(fds);
    if (auto saved = estate_.save(snapshot, fds); !saved.ok()) {
        log::error("state_not_saved", {{"error", saved.error().message}});
    }
}

void Supervisor::adopt_models(const SupervisorSnapshot& snapshot, Inherited& inherited) {
    for (const ModelSnapshot& it : snapshot.models) {
        auto model = std::make_unique<Model>();
        model->key = it.key;
        model->source = {it.id, it.path};
        model->params = std::make_shared<const Params>(settings_.params);
        model->state = ModelState::kLoaded;
        model->message.model_key = it.key;
        model->message.loaded_unix_s = it.loaded_unix_s;
        model->message.is_default = it.is_default ? 1 : 0;
        model->message.standing = it.standing;
        shm::set_field(model->message.id, it.id);
        shm::set_field(model->message.path, it.path);
        model->message.facts = it.facts;
        model->weights = inherited.take(it.weights_fd);
        model->vocabulary = inherited.take(it.vocabulary_fd);
        models_.adopt(std::move(model));
    }
    models_.continue_keys_at(snapshot.next_model_key - 1);
}

// Everything runs on; what the predecessor was in the middle of is brought to an end.
Result<void> Supervisor::take_over(const SupervisorSnapshot& snapshot, Inherited& inherited) {
    BITNETD_TRY(rollouts_.history().open(settings_.params.server_state_dir));
    rollouts_.history().continue_numbers_at(snapshot.next_rollout - 1);
    if (snapshot.rollout) rollouts_.note_interrupted(snapshot.rollout->message);
    BITNETD_TRY(fleet_.adopt_own_board(snapshot, inherited));
    if (snapshot.rollout) count_rollout(shm::RolloutOutcome::kFailed);
    adopt_models(snapshot, inherited);
    fleet_.adopt(snapshot, inherited, build_);
    std::vector<NamedFd> fds;
    capture(fds);
    if (estate_.outlives_us()) {
        estate_.note_stored(fds);
        estate_.drop_unclaimed(inherited.names());
    }
    inherited.close_leftovers();
    was_ready_ = snapshot.was_ready;
    arm_tick();
    update_health();
    fleet_.table().for_each_running(shm::Role::kFrontend, [&](Process& frontend) {
        for (const auto& model : models_.models())
            send_model(*frontend.child, *model);
        frontend.child->send(shm::MessageType::kHealth, health_told_);
        if (!snapshot.rollout) return;
        shm::CanaryMessage none{};
        none.rollout = snapshot.rollout->message.number;
        frontend.child->send(shm::MessageType::kCanary, none);
    });
    fleet_.tell_again();
    // One that was still preparing has started nobody.
    if (snapshot.rollout && snapshot.rollout->message.phase != shm::RolloutPhase::kPrepare) {
        cut_off_ = snapshot.rollout->message;
    }
    save_state();
    log::info("taken_over", {{"from", snapshot.build},
                             {"in_place", inherited.from_exec()},
                             {"processes", snapshot.processes.size()},
                             {"models", snapshot.models.size()}});
    systemd::main_pid();
    if (was_ready_) systemd::ready(status_line());
    // Models that were configured and never got loaded, or no worker; one that a rollout had just
    // made goes.
    load_missing_models();
    for (const auto& model : models_.models()) {
        if (model->message.standing != shm::ModelStanding::kServing) {
            retire_leftover(*model);
        } else if (model->is_loaded() && fleet_.table().serving(model->key).empty()) {
            start_workers(*model);
        }
    }
    if (cut_off_) unify_fleet();
    note_ready();
    run_due();
    return {};
}

void Supervisor::load_missing_models() {
    for (const ModelSource& source : settings_.models) {
        if (models_.serving(source.id) != nullptr) continue;
        models_.add(source, std::make_shared<const Params>(settings_.params),
                    shm::ModelStanding::kServing);
    }
    models_.load_next();
}

// A version that no rollout looks after any more: its generations end on it, then it goes.
void Supervisor::retire_leftover(const Model& model) {
    Change change;
    change.kind = shm::RolloutKind::kRemove;
    change.source = model.source;
    change.params = std::make_shared<const Params>(settings_.params);
    change.leftover_key = model.key;
    rollouts_.begin(std::move(change));
}

// A rollout that was cut off leaves processes of the old and of the new, too many or too few: all
// of them are rolled onto what this process goes by.
void Supervisor::unify_fleet() {
    Change change;
    change.kind = shm::RolloutKind::kReload;
    change.strategy = strategy_of(settings_.params);
    change.build = build_;
    change.rolls_workers = true;
    change.rolls_frontends = true;
    repair_ = rollouts_.begin(std::move(change));
}

// --- upgrade -------------------------------------------------------------------------------------

void Supervisor::on_upgrade() {
    if (auto begun = upgrade(nullptr, false); !begun.ok()) {
        log::error("upgrade_refused", {{"error", begun.error().message}});
    }
}

Result<void> Supervisor::check_upgrade() const {
    if (!shutdown_.serving() || !was_ready_) {
        return Error{ErrorCode::kUnavailable, "the server is starting or stopping"};
    }
    if (!rollouts_.is_idle() || models_.loader_running()) {
        return Error{ErrorCode::kUnavailable, "another rollout is in progress; try again after it"};
    }
    return {};
}

// Asks the new binary first; the answer comes by the loop.
Result<void> Supervisor::upgrade(std::shared_ptr<CommandReply> reply, bool is_watched) {
    BITNETD_TRY(check_upgrade());
    if (upgrade_) return Error{ErrorCode::kUnavailable, "an upgrade is in progress"};
    const auto done = [this](const Result<void>& asked) {
        if (!asked.ok()) return end_upgrade("upgrade_refused", asked.error().message);
        flush_then_exec(kFlushLooksMax);
    };
    BITNETD_ASSIGN(auto check, HandoverCheck::start(loop_, self_.path, kHandoverCheckMs, done));
    upgrade_.emplace(Upgrade{std::move(reply), is_watched, std::move(check), nullptr});
    log::info("upgrade_started", {{"program", self_.path}});
    systemd::reloading();
    return {};
}

// What children were told must have left us: a queue in our memory ends with it. From timer to
// timer, so that the loop looks for signals between hold_signals() and the exec: what was caught
// before is still ours.
void Supervisor::flush_then_exec(uint32_t looks) {
    upgrade_->timer = std::make_unique<Timer>(loop_, [this, looks] {
        if (fleet_.has_unsent() && looks > 0) return flush_then_exec(looks - 1);
        hold_signals();
        upgrade_->timer = std::make_unique<Timer>(loop_, [this] { exec_new_binary(); });
        upgrade_->timer->start(1);
    });
    upgrade_->timer->start(kFlushPauseMs);
}

void Supervisor::exec_new_binary() {
    if (auto may = check_upgrade(); !may.ok())
        return end_upgrade("upgrade_refused", may.error().message);
    if (fleet_.has_unsent())
        return end_upgrade("upgrade_refused", "a child does not read what it was told");
    std::vector<NamedFd> fds;
    SupervisorSnapshot snapshot = capture(fds);
    auto table = estate_.write_table(snapshot);
    if (!table.ok()) return end_upgrade("upgrade_failed", table.error().message);
    fds.push_back(*table);
    // The exec closes the tool's connection: who watches goes on from there.
    if (upgrade_->reply && !upgrade_->is_watched) {
        upgrade_->reply->end(false, "going on as " + self_.path);
    }
    setenv(kUpgradeVariable, "1", 1);
    const Error failure = exec_in_place({self_.path, self_.args, fds});
    unsetenv(kUpgradeVariable);
    end_upgrade("upgrade_failed", failure.message);
}

// There was no exec: everything goes on as it was.
void Supervisor::end_upgrade(const char* event, const std::string& why) {
    const Upgrade ended = std::move(*upgrade_);
    upgrade_.reset();
    accept_signals();
    log::error(event, {{"error", why}});
    if (shutdown_.serving()) systemd::ready(status_line());
    if (ended.reply) ended.reply->end(true, why);
}

// As the new binary: frontends and workers follow. What runs, and what a rollback would start, are
// the programs of the old one, which were handed over as well.
Result<void> Supervisor::roll_onto_this_binary() {
    BITNETD_ASSIGN(Executables programs, open_executables(folder_of(self_.path)));
    Change change;
    change.kind = shm::RolloutKind::kUpgrade;
    change.strategy = strategy_of(settings_.params);
    change.build = std::make_shared<const Build>(
        Build{build_->number + 1, std::make_shared<const Executables>(std::move(programs)),
              settings_.params});
    change.rolls_workers = true;
    change.rolls_frontends = true;
    change.must_equal = true;
    rollouts_.begin(std::move(change));
    return {};
}

}  // namespace bitnetd::supervisor
