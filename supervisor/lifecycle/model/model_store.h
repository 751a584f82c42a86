// The models: runs one loader after another, checks what it made, and keeps the sealed segments
// that outlive every worker and frontend. The supervisor opens the files (model_files.h) and passes
// the descriptors; it never reads a byte of them.
//
// A Model is one version of what an id serves: a swap adds another with the same id, and forgets
// the older one when nothing needs it any more.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "supervisor/lifecycle/model/model_files.h"
#include "supervisor/lifecycle/process/child.h"
#include "supervisor/lifecycle/settings/settings_check.h"

namespace bitnetd::supervisor {

enum class ModelState : uint8_t { kWaiting, kLoading, kLoaded, kRefused };

struct Model {
    uint64_t key = 0;  // one per load, never reused
    ModelSource source;
    std::shared_ptr<const Params> params;  // with which it is (or was) loaded
    // The configuration then: `params`, but for what the order that loaded it said otherwise.
    std::shared_ptr<const Params> configured;
    ModelState state = ModelState::kWaiting;
    std::string refusal;          // why, when refused
    shm::ModelMessage message{};  // complete when loaded; its standing is the present one
    Fd weights;                   // read-only, sealed
    Fd vocabulary;                // read-only, sealed

    bool is_loaded() const { return state == ModelState::kLoaded; }
};

class ModelStoreOwner {
  public:
    virtual void on_model_progress(const Model& model, uint32_t percent) = 0;  // of the whole load
    virtual void on_model_loaded(Model& model) = 0;
    virtual void on_model_refused(Model& model) = 0;
    // No loader runs (any more) and no model waits for one.
    virtual void on_models_settled() = 0;

  protected:
    ~ModelStoreOwner() = default;
};

class ModelStore final : private ChildOwner {
  public:
    ModelStore(uv_loop_t* loop, ModelStoreOwner& owner) : loop_(loop), owner_(owner) {}

    // Another model to load; `standing` is what it will be loaded for. Returns its key. Nothing
    // happens before load_next().
    uint64_t add(ModelSource source, std::shared_ptr<const Params> params,
                 shm::ModelStanding standing);
    // One that a predecessor of this process had loaded.
    void adopt(std::unique_ptr<Model> model);
    // Starts the next loader when none runs: two at once would fight over memory and disk.
    void load_next();
    // The program, O_PATH, open until the store is gone or told of another.
    void use_loader(int program) { loader_ = program; }

    // Ends a running loader; the models not loaded yet stay so.
    void cancel();
    // Of one model: ends its loader, if it runs, and lets its segments go. Unknown keys are
    // ignored.
    void forget(uint64_t key);
    // Refused ones that were to serve, where another of the id does now or nobody lists it.
    void forget_refused(const std::vector<ModelSource>& listed);
    // Call at deadline_ns().
    void apply_deadlines(uint64_t now_ns);
    uint64_t deadline_ns() const;

    const std::vector<std::unique_ptr<Model>>& models() const { return models_; }
    Model* find(uint64_t key) const;
    // What new requests of that id use, or null.
    Model* serving(std::string_view id) const;
    bool loader_running() const { return load_ != nullptr; }
    size_t count(ModelState state) const;
    // CPU workers of all models, into as many parts the cores are split. A new version of a model
    // takes the place of the old one.
    uint32_t core_shares(const Params& params) const;
    // The last key given away.
    uint64_t last_key() const { return last_key_; }
    void continue_keys_at(uint64_t last_key) { last_key_ = last_key; }

  private:
    struct Load {
        uint64_t key;
        uint64_t file_bytes;
        Fd weights;
        Fd vocabulary;
        uint32_t percent_logged = 0;
        std::string phase_logged;
        uint32_t progress_messages = 0;
        std::unique_ptr<Child> child;
    };
    Result<void> start_loader(Model& model);
    void send_order(const Model& model, std::span<const ModelFile> files);
    void refuse(Model& model, std::string why);

    void on_message(Child& child, shm::Message& message) override;
    void on_condemned(Child& child) override;
    void on_exit(Child& child, const ChildExit& exit) override;
    Result<void> take_progress(Model& model, const shm::Message& message);
    Result<void> take_loaded(Model& model, const shm::Message& message);
    Result<void> take_refusal(Model& model, const shm::Message& message);

    uv_loop_t* loop_;
    int loader_ = -1;
    ModelStoreOwner& owner_;
    std::vector<std::unique_ptr<Model>> models_;
    std::unique_ptr<Load> load_;
    uint64_t last_key_ = 0;
    bool cancelled_ = false;
};

}  // namespace bitnetd::supervisor
