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
    snapshot.settings = print_settings(settings_.params);
    snapshot.started_ns = started_ns_;
    snapshot.next_model_key = models_.last_key() + 1;
    snapshot.next_rollout = rollouts_.history().last_number() + 1;
    for (const auto& listener : listeners_.all()) {
        snapshot.listeners.push_back(
            {listen_address_text(listener.asked.address, listener.asked.length), listener.address,
             listener.unix_path,
             add(fd_name::listener(snapshot.listeners.size()), listener.socket.get())});
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
    if (const auto running = rollouts_.running()) snapshot.rollout = RolloutSnapshot{*running, ""};
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
    adopt_models(snapshot, inherited);
    fleet_.adopt(snapshot, inherited, build_);
    std::vector<NamedFd> fds;
    capture(fds);
    if (estate_.outlives_us()) {
        estate_.note_stored(fds);
        estate_.drop_unclaimed(inherited.names());
    }
    inherited.close_leftovers();
    was_ready_ = true;
    const uint64_t interval_ms = settings_.params.server_heartbeat_interval_ms;
    tick_timer_->start(interval_ms, interval_ms);
    update_health();
    fleet_.table().for_each_running(shm::Role::kFrontend, [this](Process& frontend) {
        for (const auto& model : models_.models())
            send_model(*frontend.child, *model);
        frontend.child->send(shm::MessageType::kHealth, health_told_);
    });
    fleet_.tell_again();
    save_state();
    log::info("taken_over", {{"from", snapshot.build},
                             {"in_place", inherited.from_exec()},
                             {"processes", snapshot.processes.size()},
                             {"models", snapshot.models.size()}});
    systemd::main_pid();
    systemd::ready(status_line());
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

// --- upgrade -------------------------------------------------------------------------------------

void Supervisor::on_upgrade() {
    if (auto begun = upgrade(nullptr); !begun.ok()) {
        log::error("upgrade_refused", {{"error", begun.error().message}});
    }
}

// Asks the new binary first; the answer comes by the loop.
Result<void> Supervisor::upgrade(std::shared_ptr<CommandReply> reply) {
    if (!shutdown_.serving() || !was_ready_) {
        return Error{ErrorCode::kUnavailable, "the server is starting or stopping"};
    }
    if (!rollouts_.is_idle() || models_.loader_running() || upgrade_check_) {
        return Error{ErrorCode::kUnavailable, "another rollout is in progress; try again after it"};
    }
    const auto done = [this, reply](const Result<void>& asked) {
        upgrade_check_.reset();
        if (!asked.ok()) {
            log::error("upgrade_refused", {{"error", asked.error().message}});
            systemd::ready(status_line());
            if (reply) reply->end(true, asked.error().message);
            return;
        }
        flush_then_exec(reply, kFlushLooksMax);
    };
    BITNETD_ASSIGN(upgrade_check_, HandoverCheck::start(loop_, self_.path, kHandoverCheckMs, done));
    log::info("upgrade_started", {{"program", self_.path}});
    systemd::reloading();
    return {};
}

// What children were told must have left us: a queue in our memory ends with it.
void Supervisor::flush_then_exec(std::shared_ptr<CommandReply> reply, uint32_t looks) {
    if (fleet_.has_unsent() && looks > 0) {
        flush_timer_ = std::make_unique<Timer>(
            loop_, [this, reply, looks] { flush_then_exec(reply, looks - 1); });
        flush_timer_->start(kFlushPauseMs);
        return;
    }
    // One more turn of the loop, for the signals that were caught before.
    hold_signals();
    flush_timer_ = std::make_unique<Timer>(loop_, [this, reply] { exec_new_binary(reply); });
    flush_timer_->start(0);
}

void Supervisor::exec_new_binary(const std::shared_ptr<CommandReply>& reply) {
    std::vector<NamedFd> fds;
    SupervisorSnapshot snapshot = capture(fds);
    auto table = estate_.write_table(snapshot);
    std::string failure;
    if (table.ok()) {
        fds.push_back(*table);
        setenv(kUpgradeVariable, "1", 1);
        failure = exec_in_place({self_.path, self_.args, fds}).message;
        unsetenv(kUpgradeVariable);
    } else {
        failure = table.error().message;
    }
    accept_signals();
    log::error("upgrade_failed", {{"error", failure}});
    systemd::ready(status_line());
    if (reply) reply->end(true, failure);
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
