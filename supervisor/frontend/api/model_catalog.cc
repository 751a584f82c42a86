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
    for (const ModelAlias& alias : options.aliases) {
        if (alias.id == model->id) model->aliases.push_back(alias.name);
    }
    model->is_default = message.is_default != 0;
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
    for (const auto& model : models) {
        if (id.empty() ? model->is_default || found == nullptr : model->is_called(id)) {
            found = model;
        }
    }
    return found;
}

void ModelCatalog::add(std::shared_ptr<const Model> model) {
    auto list = std::make_shared<ModelList>(*list_);
    std::erase_if(*list, [&model](const auto& other) { return other->key == model->key; });
    list->push_back(std::move(model));
    list_ = std::move(list);
}

void ModelCatalog::remove(uint64_t key) {
    auto list = std::make_shared<ModelList>(*list_);
    std::erase_if(*list, [key](const auto& model) { return model->key == key; });
    list_ = std::move(list);
}

}  // namespace bitnetd::frontend
