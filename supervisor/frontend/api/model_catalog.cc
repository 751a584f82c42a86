#include "supervisor/frontend/api/model_catalog.h"

#include <algorithm>

#include "common/log/log.h"
#include "shm/control/text_field.h"

namespace bitnetd::frontend {
namespace {

// The arithmetic of all CPU workers (mechanics.md section 7).
constexpr std::string_view kFloatClass = "f32x16";

std::optional<text::ChatTemplate> open_template(const std::string& id,
                                                const text::VocabularyView& vocabulary) {
    if (vocabulary.chat_template().empty()) return std::nullopt;
    auto parsed = text::ChatTemplate::parse(vocabulary.chat_template());
    if (parsed.ok()) return std::move(parsed).value();
    log::warn("chat_template_refused", {{"model", id}, {"reason", parsed.error().message}});
    return std::nullopt;
}

}  // namespace

Result<std::shared_ptr<const Model>> Model::open(const shm::ModelMessage& message,
                                                 std::shared_ptr<const void> memory,
                                                 std::span<const std::byte> image,
                                                 const ModelOptions& options) {
    BITNETD_ASSIGN(auto vocabulary, text::VocabularyView::open(image));
    BITNETD_ASSIGN(
        auto tokenizer,
        text::Tokenizer::create(vocabulary, std::min(options.text_bytes_max,
                                                     uint64_t{text::Tokenizer::kTextBytesMax})));
    std::shared_ptr<Model> model(new Model(std::move(tokenizer)));
    model->memory_ = std::move(memory);
    model->key = message.model_key;
    model->id = std::string(shm::field_text(message.id));
    model->path = std::string(shm::field_text(message.path));
    for (const ModelAlias& alias : options.aliases) {
        if (alias.id == model->id) model->aliases.push_back(alias.name);
    }
    model->loaded_unix_s = message.loaded_unix_s;
    model->facts = message.facts;
    model->vocab = message.facts.vocab;
    model->context = message.facts.context;
    if (options.context_max > 0 && options.context_max < model->context) {
        model->context = static_cast<uint32_t>(options.context_max);
    }
    const std::string digest(shm::field_text(message.facts.digest).substr(0, 16));
    model->fingerprint = "bitnetd-" BITNETD_VERSION "-" + digest + "-" + std::string(kFloatClass) +
                         "-" + options.kv_type + "-" + options.block_inputs + "-" +
                         options.bf16_inputs;
    model->chat_template = open_template(model->id, vocabulary);
    return std::shared_ptr<const Model>(std::move(model));
}

bool Model::is_called(std::string_view name) const {
    return id == name || std::find(aliases.begin(), aliases.end(), name) != aliases.end();
}

std::optional<float> quantization_accuracy(const shm::ModelFacts& facts) {
    std::optional<float> lowest;
    for (uint32_t i = 0; i < std::min(facts.accuracy_count, shm::kModelTypesMax); ++i) {
        const shm::TypeAccuracy& each = facts.accuracy[i];
        if (shm::field_text(each.type) == shm::field_text(facts.quantization)) return each.ratio;
        if (!lowest || each.ratio < *lowest) lowest = each.ratio;
    }
    return lowest;
}

std::shared_ptr<const Model> find_model(const ModelList& models, std::string_view id) {
    std::shared_ptr<const Model> found;
    for (const ListedModel& listed : models) {
        if (!listed.is_serving()) continue;
        if (id.empty() ? listed.is_default || found == nullptr : listed->is_called(id)) {
            found = listed.model;
        }
    }
    return found;
}

size_t count_serving(const ModelList& models) {
    return static_cast<size_t>(std::count_if(
        models.begin(), models.end(), [](const ListedModel& each) { return each.is_serving(); }));
}

void ModelCatalog::add(std::shared_ptr<const Model> model, shm::ModelStanding standing,
                       bool is_default) {
    const uint64_t key = model->key;
    auto list = std::make_shared<ModelList>(*list_);
    std::erase_if(*list, [key](const ListedModel& listed) { return listed->key == key; });
    list->emplace_back(std::move(model), shm::ModelStanding::kCanary);  // until set below
    list_ = std::move(list);
    set_standing(key, standing, is_default);
}

void ModelCatalog::set_standing(uint64_t key, shm::ModelStanding standing, bool is_default) {
    const auto subject = find(key);
    if (subject == nullptr) {
        if (standing == shm::ModelStanding::kRetiring) unreleased_.insert(key);
        return;
    }
    const bool serves = standing == shm::ModelStanding::kServing;
    auto list = std::make_shared<ModelList>(*list_);
    for (ListedModel& listed : *list) {
        if (listed->key == key) {
            listed.standing = standing;
            if (serves) listed.is_default = is_default;
        } else if (serves) {
            if (is_default) listed.is_default = false;
            if (listed.is_serving() && listed->id == subject->id) {
                listed.standing = shm::ModelStanding::kRetiring;
                unreleased_.insert(listed->key);
            }
        }
    }
    if (standing == shm::ModelStanding::kRetiring)
        unreleased_.insert(key);
    else
        unreleased_.erase(key);
    list_ = std::move(list);
}

void ModelCatalog::remove(uint64_t key) {
    auto list = std::make_shared<ModelList>(*list_);
    std::erase_if(*list, [key](const ListedModel& listed) { return listed->key == key; });
    unreleased_.erase(key);
    list_ = std::move(list);
}

std::shared_ptr<const Model> ModelCatalog::find(uint64_t key) const {
    for (const ListedModel& listed : *list_) {
        if (listed->key == key) return listed.model;
    }
    return nullptr;
}

// Whoever needs a model holds it: requests that run, and pool threads by the list they were given.
// Only this thread makes further holders, so a count of one (the catalog's own) stays one.
std::vector<uint64_t> ModelCatalog::take_released(
    const std::function<bool(uint64_t)>& has_flights) {
    std::vector<uint64_t> released;
    for (const uint64_t key : unreleased_) {
        const bool is_held =
            std::any_of(list_->begin(), list_->end(), [key](const ListedModel& listed) {
                return listed->key == key && listed.model.use_count() > 1;
            });
        if (!is_held && !has_flights(key)) released.push_back(key);
    }
    for (const uint64_t key : released)
        unreleased_.erase(key);
    return released;
}

}  // namespace bitnetd::frontend
