// The models: runs one loader after another, checks what it made, and keeps the sealed segments
// that outlive every worker and frontend. The supervisor opens the files (model_files.h) and passes
// the descriptors; it never reads a byte of them.
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
    ModelSource source;
    ModelState state = ModelState::kWaiting;
    std::string refusal;          // why, when refused
    shm::ModelMessage message{};  // complete when loaded
    Fd weights;                   // read-only, sealed
    Fd vocabulary;                // read-only, sealed
};

class ModelStoreOwner {
  public:
    virtual void on_model_loaded(size_t model_index) = 0;
    virtual void on_model_refused(size_t model_index) = 0;
    // No loader runs (any more) and none will.
    virtual void on_models_settled() = 0;

  protected:
    ~ModelStoreOwner() = default;
};

class ModelStore final : private ChildOwner {
  public:
    // `loader`: O_PATH descriptor of bitnetd-loader, open for as long as this lives. `settings`
    // too.
    ModelStore(uv_loop_t* loop, const Settings& settings, int loader, ModelStoreOwner& owner);

    // Loads all models, one at a time: two big ones at once would fight over memory and disk.
    void load_all() { load_next(); }
    // Ends a running loader; the models not loaded yet stay so.
    void cancel();
    // Call at deadline_ns().
    void apply_deadlines(uint64_t now_ns);
    uint64_t deadline_ns() const;

    const std::vector<Model>& models() const { return models_; }
    bool loader_running() const { return load_ != nullptr; }
    size_t count(ModelState state) const;

  private:
    struct Load {
        size_t model_index;
        uint64_t file_bytes;
        Fd weights;
        Fd vocabulary;
        uint32_t percent_logged = 0;
        std::string phase_logged;
        uint32_t progress_messages = 0;
        std::unique_ptr<Child> child;
    };
    void load_next();
    Result<void> start_loader(size_t model_index);
    void send_order(std::span<const ModelFile> files);
    void refuse(Model& model, std::string why);

    void on_message(Child& child, shm::Message& message) override;
    void on_condemned(Child& child) override;
    void on_exit(Child& child, const ChildExit& exit) override;
    Result<void> take_progress(const shm::Message& message);
    Result<void> take_loaded(const shm::Message& message);
    Result<void> take_refusal(const shm::Message& message);

    uv_loop_t* loop_;
    const Settings& settings_;
    int loader_;
    ModelStoreOwner& owner_;
    std::vector<Model> models_;
    std::unique_ptr<Load> load_;
    uint64_t loads_ = 0;  // loaders started; a model's key is the number of its load
    bool cancelled_ = false;
};

}  // namespace bitnetd::supervisor
