// The models this frontend can serve: what the supervisor said of each (shm::ModelMessage) and its
// vocabulary image, opened, with tokenizer and chat template ready. A Model never changes and is
// held by every generation that uses it; the catalog's list is replaced as a whole, so that pool
// threads can keep reading the one they were given. Loop thread, except where a list is read.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/config/model_alias.h"
#include "common/text/chat_template.h"
#include "common/text/tokenizer.h"
#include "common/text/vocabulary_image.h"
#include "shm/abi/control_abi.h"

namespace bitnetd::frontend {

struct ModelOptions {
    uint64_t context_max = 0;  // [kv] context_max; 0: what the model was made for
    uint64_t text_bytes_max = text::Tokenizer::kTextBytesMax;
    std::string kv_type = "f32";           // part of the fingerprint, like the next
    std::string block_inputs = "int8";     // [worker] block_inputs
    std::string bf16_inputs = "float";     // [worker] bf16_inputs
    std::vector<ModelAlias> aliases = {};  // of all models
};

struct Model {
    // `image` lies in `memory`, which the model keeps. The image is checked; the message is
    // trusted.
    static Result<std::shared_ptr<const Model>> open(const shm::ModelMessage& message,
                                                     std::shared_ptr<const void> memory,
                                                     std::span<const std::byte> image,
                                                     const ModelOptions& options);

    uint64_t key;
    std::string id;
    std::string path;                  // for operators only
    std::vector<std::string> aliases;  // what clients may call it too
    int64_t loaded_unix_s;
    shm::ModelFacts facts;
    uint32_t context;         // prompt + answer
    uint32_t vocab;           // ids a client may name, and a worker may send
    std::string fingerprint;  // build + weights digest + float class + KV type + block inputs
    text::Tokenizer tokenizer;
    std::optional<text::ChatTemplate> chat_template;  // empty: this model has none that works

    const text::VocabularyView& vocabulary() const { return tokenizer.vocabulary(); }
    bool is_called(std::string_view name) const;

  private:
    explicit Model(text::Tokenizer opened) : tokenizer(std::move(opened)) {}
    std::shared_ptr<const void> memory_;
};

// As the loader measured it: of the type that most weights have; of the worst type when that one
// has no matrix of its own.
std::optional<float> quantization_accuracy(const shm::ModelFacts& facts);

// A model as the catalog lists it.
struct ListedModel {
    ListedModel(std::shared_ptr<const Model> model_,
                shm::ModelStanding standing_ = shm::ModelStanding::kServing,
                bool is_default_ = false)
        : model(std::move(model_)), standing(standing_), is_default(is_default_) {}

    const Model& operator*() const { return *model; }
    const Model* operator->() const { return model.get(); }
    bool is_serving() const { return standing == shm::ModelStanding::kServing; }

    std::shared_ptr<const Model> model;
    shm::ModelStanding standing;
    bool is_default;  // requests without `model` use it, while it serves
};

using ModelList = std::vector<ListedModel>;

// The serving model of that id or alias (of two, the one loaded last), or the default one for "".
// Null: none. One on trial or retiring is never found: nothing new may begin on it.
std::shared_ptr<const Model> find_model(const ModelList& models, std::string_view id);

size_t count_serving(const ModelList& models);

class ModelCatalog {
  public:
    // Replaces a model of the same key. Its standing and what follows: see set_standing().
    void add(std::shared_ptr<const Model> model,
             shm::ModelStanding standing = shm::ModelStanding::kServing, bool is_default = false);
    // Who begins to serve makes another one of its id retire, in the same list. One that is not
    // here (it was refused) is released as soon as it is told to retire.
    void set_standing(uint64_t key, shm::ModelStanding standing, bool is_default);
    void remove(uint64_t key);

    // Null: unknown.
    std::shared_ptr<const Model> find(uint64_t key) const;
    const std::shared_ptr<const ModelList>& list() const { return list_; }

    // Retiring models that no request holds and no flight pins, each once for each time that it was
    // told to retire. Costs nothing while none retires.
    std::vector<uint64_t> take_released(const std::function<bool(uint64_t key)>& has_flights);

  private:
    std::shared_ptr<const ModelList> list_ = std::make_shared<const ModelList>();
    std::set<uint64_t> unreleased_;  // retiring, and not yet told as released
};

}  // namespace bitnetd::frontend
