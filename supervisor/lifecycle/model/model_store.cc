#include "supervisor/lifecycle/model/model_store.h"

#include <algorithm>
#include <csignal>
#include <set>

#include "common/base/clock.h"
#include "common/config/exit_codes.h"
#include "common/log/log.h"
#include "shm/control/text_field.h"
#include "shm/segment/segment.h"
#include "supervisor/lifecycle/model/model_facts_check.h"

namespace bitnetd::supervisor {
namespace {

// A loader has three phases of a hundred percent; one that says more is broken or hostile.
constexpr uint32_t kProgressMessagesMax = 10'000;
constexpr uint32_t kPercentLogStep = 25;

// A refusal goes to the log and to /health; one line is enough.
constexpr size_t kRefusalBytesMax = 1024;

// What each phase of a load is of the whole, roughly as the time goes.
struct LoadPhase {
    std::string_view name;
    uint32_t begins_percent;
    uint32_t ends_percent;
};
constexpr LoadPhase kLoadPhases[] = {
    {"validate", 0, 5}, {"memory", 5, 15}, {"pack", 15, 60}, {"check", 60, 98}, {"seal", 98, 100}};

uint32_t percent_of_all(std::string_view phase, uint32_t percent) {
    for (const LoadPhase& it : kLoadPhases) {
        if (it.name != phase) continue;
        return it.begins_percent + (it.ends_percent - it.begins_percent) * percent / 100;
    }
    return 0;
}

std::string printable(std::string_view text) {
    std::string line(text.substr(0, kRefusalBytesMax));
    for (char& c : line) {
        if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) c = ' ';
    }
    return line;
}

}  // namespace

uint64_t ModelStore::add(ModelSource source, std::shared_ptr<const Params> params,
                         shm::ModelStanding standing) {
    auto model = std::make_unique<Model>();
    model->key = ++last_key_;
    model->source = std::move(source);
    model->configured = params;
    model->params = std::move(params);
    model->message.standing = standing;
    models_.push_back(std::move(model));
    return last_key_;
}

void ModelStore::adopt(std::unique_ptr<Model> model) {
    last_key_ = std::max(last_key_, model->key);
    model->configured = model->params;
    models_.push_back(std::move(model));
}

Model* ModelStore::find(uint64_t key) const {
    for (const auto& model : models_) {
        if (model->key == key) return model.get();
    }
    return nullptr;
}

Model* ModelStore::serving(std::string_view id) const {
    for (const auto& model : models_) {
        if (model->is_loaded() && model->source.id == id &&
            model->message.standing == shm::ModelStanding::kServing) {
            return model.get();
        }
    }
    return nullptr;
}

size_t ModelStore::count(ModelState state) const {
    return static_cast<size_t>(std::count_if(models_.begin(), models_.end(),
                                             [&](const auto& m) { return m->state == state; }));
}

uint32_t ModelStore::core_shares(const Params& params) const {
    std::set<std::string_view> ids;
    for (const auto& model : models_) {
        if (model->message.standing != shm::ModelStanding::kRetiring) ids.insert(model->source.id);
    }
    return static_cast<uint32_t>(params.server_workers * std::max<size_t>(1, ids.size()));
}

void ModelStore::load_next() {
    const auto first_waiting = [this] {
        const auto found = std::find_if(models_.begin(), models_.end(), [](const auto& model) {
            return model->state == ModelState::kWaiting;
        });
        return found == models_.end() ? nullptr : found->get();
    };
    if (load_) return;
    while (!cancelled_) {
        Model* model = first_waiting();
        if (model == nullptr) break;
        auto started = start_loader(*model);
        if (started.ok()) return;
        refuse(*model, std::move(started).error().message);
    }
    owner_.on_models_settled();
}

Result<void> ModelStore::start_loader(Model& model) {
    BITNETD_ASSIGN(const std::vector<ModelFile> files, open_model_files(model.source.path));
    auto load = std::make_unique<Load>();
    load->key = model.key;
    load->file_bytes = total_bytes(files);
    // One byte long until the loader knows the real size and grows them.
    BITNETD_ASSIGN(load->weights, shm::Segment::create_memfd("bitnetd-weights", 1));
    BITNETD_ASSIGN(load->vocabulary, shm::Segment::create_memfd("bitnetd-vocabulary", 1));

    const Params& params = *model.params;
    SpawnPlan plan;
    plan.program = loader_;
    plan.args = {"bitnetd-loader", "--model", model.source.id};
    plan.parent_death_signal = SIGKILL;
    plan.oom_score_adj = 600;
    plan.core_dumps = params.server_core_dumps == 1;
    // Something serves: leave it its cores. Not SCHED_IDLE: on a machine that is busy for long a
    // roll would never get ready.
    if (count(ModelState::kLoaded) > 0) plan.nice = 15;
    const LifeLimits limits{params.server_load_timeout_ms * kNsPerMs,
                            params.server_kill_grace_ms * kNsPerMs};
    BITNETD_ASSIGN(load->child, Child::start(loop_, std::move(plan), "loader/" + model.source.id,
                                             model.key, limits, *this));
    model.state = ModelState::kLoading;
    log::info("model_loading", {{"id", model.source.id},
                                {"path", model.source.path},
                                {"files", files.size()},
                                {"bytes", load->file_bytes},
                                {"pid", load->child->pid()},
                                {"percent", 0}});
    load_ = std::move(load);
    send_order(model, files);
    return {};
}

void ModelStore::send_order(const Model& model, std::span<const ModelFile> files) {
    Child& child = *load_->child;
    child.send_text(shm::MessageType::kSettings, print_settings(*model.params));
    for (const ModelFile& file : files) {
        const int fd = file.fd.get();
        child.send(shm::MessageType::kModelFile, file.message(), std::span(&fd, 1));
    }
    const shm::LoadMessage message{load_->file_bytes, static_cast<uint32_t>(files.size()), 0};
    const int fds[] = {load_->weights.get(), load_->vocabulary.get()};
    child.send(shm::MessageType::kLoad, message, fds);
}

void ModelStore::refuse(Model& model, std::string why) {
    model.state = ModelState::kRefused;
    model.refusal = std::move(why);
    log::error("model_refused",
               {{"id", model.source.id}, {"path", model.source.path}, {"reason", model.refusal}});
    owner_.on_model_refused(model);
}

void ModelStore::cancel() {
    cancelled_ = true;
    if (!load_) return;
    load_->child->life().dismiss();
    load_->child->apply_signals(monotonic_ns());
}

void ModelStore::forget(uint64_t key) {
    if (load_ && load_->key == key) {
        load_->child->life().dismiss();
        load_->child->apply_signals(monotonic_ns());
    }
    std::erase_if(models_, [key](const auto& model) { return model->key == key; });
}

void ModelStore::forget_refused(const std::vector<ModelSource>& listed) {
    std::vector<uint64_t> keys;
    for (const auto& model : models_) {
        if (model->state != ModelState::kRefused ||
            model->message.standing != shm::ModelStanding::kServing) {
            continue;
        }
        const bool is_listed = std::any_of(
            listed.begin(), listed.end(),
            [&model](const ModelSource& source) { return source.id == model->source.id; });
        if (!is_listed || serving(model->source.id) != nullptr) keys.push_back(model->key);
    }
    for (const uint64_t key : keys)
        forget(key);
}

void ModelStore::apply_deadlines(uint64_t now_ns) {
    if (load_) load_->child->apply_signals(now_ns);
}

uint64_t ModelStore::deadline_ns() const {
    return load_ ? load_->child->life().deadline_ns() : UINT64_MAX;
}

void ModelStore::on_message(Child& child, shm::Message& message) {
    Model* model = find(load_->key);
    Result<void> taken = {};
    if (model == nullptr) return;  // forgotten: its end is on the way
    if (model->state != ModelState::kLoading) {
        taken = invalid("a loader spoke after its verdict");
    } else if (message.type == shm::MessageType::kLoadProgress) {
        taken = take_progress(*model, message);
    } else if (message.type == shm::MessageType::kLoaded) {
        taken = take_loaded(*model, message);
    } else if (message.type == shm::MessageType::kLoadFailed) {
        taken = take_refusal(*model, message);
    } else {
        taken = invalid("message type " + std::to_string(static_cast<int>(message.type)) +
                        " is not a loader's to send");
    }
    if (!taken.ok()) child.reject(taken.error());
}

Result<void> ModelStore::take_progress(Model& model, const shm::Message& message) {
    BITNETD_TRY(message.expect_fds(0));
    BITNETD_ASSIGN(const auto progress, message.as<shm::LoadProgressMessage>());
    if (progress.percent > 100) return invalid("load progress over 100 percent");
    if (++load_->progress_messages > kProgressMessagesMax) return invalid("too much load progress");
    const std::string phase = printable(shm::field_text(progress.phase));
    owner_.on_model_progress(model, percent_of_all(phase, progress.percent));
    if (phase == load_->phase_logged &&
        progress.percent < load_->percent_logged + kPercentLogStep) {
        return {};
    }
    load_->phase_logged = phase;
    load_->percent_logged = progress.percent;
    log::info("model_loading",
              {{"id", model.source.id}, {"phase", phase}, {"percent", progress.percent}});
    return {};
}

Result<void> ModelStore::take_loaded(Model& model, const shm::Message& message) {
    BITNETD_TRY(message.expect_fds(0));
    BITNETD_ASSIGN(const auto facts, message.as<shm::ModelFacts>());
    BITNETD_TRY(
        check_model_facts(facts, load_->file_bytes, load_->weights.get(), load_->vocabulary.get()));
    BITNETD_ASSIGN(model.weights, shm::reopen_read_only(load_->weights.get()));
    BITNETD_ASSIGN(model.vocabulary, shm::reopen_read_only(load_->vocabulary.get()));
    model.message.model_key = model.key;
    model.message.loaded_unix_s = unix_seconds();
    // The first one, or the first one that could be loaded: they come in order.
    const bool serves = model.message.standing == shm::ModelStanding::kServing;
    model.message.is_default = serves && count(ModelState::kLoaded) == 0 ? 1 : 0;
    shm::set_field(model.message.id, model.source.id);
    shm::set_field(model.message.path, model.source.path);
    model.message.facts = facts;
    model.state = ModelState::kLoaded;
    // All is said; what is left is to exit.
    load_->child->life().on_drain(monotonic_ns() + model.params->server_kill_grace_ms * kNsPerMs);
    const uint64_t load_ns = monotonic_ns() - load_->child->life().started_ns();
    log::info("model_loaded", {{"id", model.source.id},
                               {"architecture", shm::field_text(facts.architecture)},
                               {"quantization", shm::field_text(facts.quantization)},
                               {"parameters", facts.parameter_count},
                               {"context", facts.context},
                               {"weights_bytes", facts.weights_bytes},
                               {"digest", shm::field_text(facts.digest)},
                               {"load_ms", load_ns / kNsPerMs}});
    owner_.on_model_loaded(model);
    return {};
}

Result<void> ModelStore::take_refusal(Model& model, const shm::Message& message) {
    load_->child->life().on_drain(monotonic_ns() + model.params->server_kill_grace_ms * kNsPerMs);
    refuse(model, printable(message.text()));
    return {};
}

// A loader has no peers to be fenced from.
void ModelStore::on_condemned(Child&) {}

void ModelStore::on_exit(Child& child, const ChildExit& exit) {
    Model* model = find(load_->key);
    const bool without_verdict = model != nullptr && model->state == ModelState::kLoading;
    std::string why;
    if (without_verdict) {
        const ExitContext context{child.life().fault(), false, false};
        why = "the loader ended without a verdict: " + judge(exit, context).reason;
        if (exit.signal == 0 && exit.status == kExitNoMemory) why += " (not enough memory)";
    }
    load_.reset();  // `child` is gone from here on
    if (without_verdict && !cancelled_) refuse(*model, std::move(why));
    load_next();
}

}  // namespace bitnetd::supervisor
