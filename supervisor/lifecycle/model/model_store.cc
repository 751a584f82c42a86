#include "supervisor/lifecycle/model/model_store.h"

#include <algorithm>
#include <csignal>

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

std::string printable(std::string_view text) {
    std::string line(text.substr(0, kRefusalBytesMax));
    for (char& c : line) {
        if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) c = ' ';
    }
    return line;
}

}  // namespace

ModelStore::ModelStore(uv_loop_t* loop, const Settings& settings, int loader,
                       ModelStoreOwner& owner)
    : loop_(loop), settings_(settings), loader_(loader), owner_(owner) {
    for (const ModelSource& source : settings.models) {
        Model model;
        model.source = source;
        models_.push_back(std::move(model));
    }
}

size_t ModelStore::count(ModelState state) const {
    return static_cast<size_t>(std::count_if(models_.begin(), models_.end(),
                                             [&](const Model& m) { return m.state == state; }));
}

void ModelStore::load_next() {
    for (size_t i = 0; i < models_.size() && !cancelled_; ++i) {
        if (models_[i].state != ModelState::kWaiting) continue;
        auto started = start_loader(i);
        if (started.ok()) return;
        refuse(models_[i], std::move(started).error().message);
    }
    owner_.on_models_settled();
}

Result<void> ModelStore::start_loader(size_t model_index) {
    Model& model = models_[model_index];
    BITNETD_ASSIGN(const std::vector<ModelFile> files, open_model_files(model.source.path));
    auto load = std::make_unique<Load>();
    load->model_index = model_index;
    load->file_bytes = total_bytes(files);
    // One byte long until the loader knows the real size and grows them.
    BITNETD_ASSIGN(load->weights, shm::Segment::create_memfd("bitnetd-weights", 1));
    BITNETD_ASSIGN(load->vocabulary, shm::Segment::create_memfd("bitnetd-vocabulary", 1));

    const Params& params = settings_.params;
    SpawnPlan plan;
    plan.program = loader_;
    plan.args = {"bitnetd-loader", "--model", model.source.id};
    plan.parent_death_signal = SIGKILL;
    plan.oom_score_adj = 600;
    plan.core_dumps = params.server_core_dumps == 1;
    plan.idle = count(ModelState::kLoaded) > 0;  // something serves: do not take its cores
    const LifeLimits limits{params.server_load_timeout_ms * kNsPerMs,
                            params.server_kill_grace_ms * kNsPerMs};
    BITNETD_ASSIGN(load->child, Child::start(loop_, std::move(plan), "loader/" + model.source.id,
                                             ++loads_, limits, *this));
    model.state = ModelState::kLoading;
    log::info("model_loading", {{"id", model.source.id},
                                {"path", model.source.path},
                                {"files", files.size()},
                                {"bytes", load->file_bytes},
                                {"pid", load->child->pid()},
                                {"percent", 0}});
    load_ = std::move(load);
    send_order(files);
    return {};
}

void ModelStore::send_order(std::span<const ModelFile> files) {
    Child& child = *load_->child;
    child.send_text(shm::MessageType::kSettings, print_settings(settings_.params));
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
    owner_.on_model_refused(static_cast<size_t>(&model - models_.data()));
}

void ModelStore::cancel() {
    cancelled_ = true;
    if (!load_) return;
    load_->child->life().dismiss();
    load_->child->apply_signals(monotonic_ns());
}

void ModelStore::apply_deadlines(uint64_t now_ns) {
    if (load_) load_->child->apply_signals(now_ns);
}

uint64_t ModelStore::deadline_ns() const {
    return load_ ? load_->child->life().deadline_ns() : UINT64_MAX;
}

void ModelStore::on_message(Child& child, shm::Message& message) {
    Result<void> taken = {};
    if (models_[load_->model_index].state != ModelState::kLoading) {
        taken = invalid("a loader spoke after its verdict");
    } else if (message.type == shm::MessageType::kLoadProgress) {
        taken = take_progress(message);
    } else if (message.type == shm::MessageType::kLoaded) {
        taken = take_loaded(message);
    } else if (message.type == shm::MessageType::kLoadFailed) {
        taken = take_refusal(message);
    } else {
        taken = invalid("message type " + std::to_string(static_cast<int>(message.type)) +
                        " is not a loader's to send");
    }
    if (!taken.ok()) child.reject(taken.error());
}

Result<void> ModelStore::take_progress(const shm::Message& message) {
    BITNETD_TRY(message.expect_fds(0));
    BITNETD_ASSIGN(const auto progress, message.as<shm::LoadProgressMessage>());
    if (progress.percent > 100) return invalid("load progress over 100 percent");
    if (++load_->progress_messages > kProgressMessagesMax) return invalid("too much load progress");
    const std::string phase = printable(shm::field_text(progress.phase));
    if (phase == load_->phase_logged &&
        progress.percent < load_->percent_logged + kPercentLogStep) {
        return {};
    }
    load_->phase_logged = phase;
    load_->percent_logged = progress.percent;
    log::info("model_loading", {{"id", models_[load_->model_index].source.id},
                                {"phase", phase},
                                {"percent", progress.percent}});
    return {};
}

Result<void> ModelStore::take_loaded(const shm::Message& message) {
    BITNETD_TRY(message.expect_fds(0));
    BITNETD_ASSIGN(const auto facts, message.as<shm::ModelFacts>());
    BITNETD_TRY(
        check_model_facts(facts, load_->file_bytes, load_->weights.get(), load_->vocabulary.get()));
    Model& model = models_[load_->model_index];
    BITNETD_ASSIGN(model.weights, shm::reopen_read_only(load_->weights.get()));
    BITNETD_ASSIGN(model.vocabulary, shm::reopen_read_only(load_->vocabulary.get()));
    model.message.model_key = loads_;
    model.message.loaded_unix_s = unix_seconds();
    // The first one, or the first one that could be loaded: they come in order.
    model.message.is_default = count(ModelState::kLoaded) == 0 ? 1 : 0;
    shm::set_field(model.message.id, model.source.id);
    shm::set_field(model.message.path, model.source.path);
    model.message.facts = facts;
    model.state = ModelState::kLoaded;
    // All is said; what is left is to exit.
    load_->child->life().on_drain(monotonic_ns() +
                                  settings_.params.server_kill_grace_ms * kNsPerMs);
    const uint64_t load_ns = monotonic_ns() - load_->child->life().started_ns();
    log::info("model_loaded", {{"id", model.source.id},
                               {"architecture", shm::field_text(facts.architecture)},
                               {"quantization", shm::field_text(facts.quantization)},
                               {"parameters", facts.parameter_count},
                               {"context", facts.context},
                               {"weights_bytes", facts.weights_bytes},
                               {"digest", shm::field_text(facts.digest)},
                               {"load_ms", load_ns / kNsPerMs}});
    owner_.on_model_loaded(load_->model_index);
    return {};
}

Result<void> ModelStore::take_refusal(const shm::Message& message) {
    load_->child->life().on_drain(monotonic_ns() +
                                  settings_.params.server_kill_grace_ms * kNsPerMs);
    refuse(models_[load_->model_index], printable(message.text()));
    return {};
}

// A loader has no peers to be fenced from.
void ModelStore::on_condemned(Child&) {}

void ModelStore::on_exit(Child& child, const ChildExit& exit) {
    Model& model = models_[load_->model_index];
    if (model.state == ModelState::kLoading && !cancelled_) {
        const ExitContext context{child.life().fault(), false, false};
        std::string why = "the loader ended without a verdict: " + judge(exit, context).reason;
        if (exit.signal == 0 && exit.status == kExitNoMemory) why += " (not enough memory)";
        refuse(model, std::move(why));
    }
    load_.reset();  // `child` is gone from here on
    load_next();
}

}  // namespace bitnetd::supervisor
