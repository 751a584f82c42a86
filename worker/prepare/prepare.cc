#include "worker/prepare/prepare.h"

#include <cstdio>
#include <string>
#include <utility>

#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/text/vocabulary_image.h"
#include "shm/control/text_field.h"
#include "worker/prepare/vocabulary_from_gguf.h"

namespace bitnetd::worker {
namespace {

std::string hex(std::span<const uint8_t> bytes) {
    std::string out;
    for (const uint8_t byte : bytes) {
        char digits[3];
        std::snprintf(digits, sizeof digits, "%02x", byte);
        out += digits;
    }
    return out;
}

// Names come from the file and go to logs and clients.
std::string printable(std::string_view text) {
    std::string out(text);
    for (char& c : out) {
        if (c < ' ' || c > '~') c = '?';
    }
    return out;
}

}  // namespace

Result<Preparation> Preparation::open(std::vector<NamedSource> files,
                                      const PrepareOptions& options) {
    BITNETD_ASSIGN(auto input, open_model(std::move(files), options.layout));
    return open(std::move(input), options.overrides);
}

Result<Preparation> Preparation::open(std::unique_ptr<ModelInput> input,
                                      const ModelOverrides& overrides) {
    Preparation out(std::move(input));
    const gguf::Metadata& metadata = out.input_->metadata();
    BITNETD_TRY(check_architecture(metadata));
    BITNETD_ASSIGN(out.vocabulary_, vocabulary_from_gguf(metadata));
    BITNETD_ASSIGN(const auto vocabulary, text::VocabularyView::open(out.vocabulary_));
    out.end_ids_.assign(vocabulary.end_ids().begin(), vocabulary.end_ids().end());
    if (out.end_ids_.size() > shm::kEndIdsMax) {
        return unsupported("the vocabulary has " + std::to_string(out.end_ids_.size()) +
                           " ids that end a generation; at most " +
                           std::to_string(shm::kEndIdsMax) + " are supported");
    }
    BITNETD_ASSIGN(out.model_, read_hyperparameters(metadata, vocabulary.token_count(), overrides));
    BITNETD_ASSIGN(out.plan_, plan_weights(*out.input_, out.model_, overrides.output_screen));
    return out;
}

Result<void> Preparation::pack(std::span<std::byte> segment, const PercentSink& percent,
                               ThreadPool* pool) const {
    return pack_weights({*input_, model_, plan_, end_ids_}, segment, pool, percent);
}

shm::ModelFacts Preparation::facts(std::span<const std::byte> segment) const {
    BITNETD_CHECK(segment.size() >= sizeof(shm::WeightsHeader));
    const auto header = load<shm::WeightsHeader>(segment.data());
    shm::ModelFacts facts{};
    facts.parameter_count = plan_.parameter_count;
    facts.weights_bytes = plan_.segment_bytes;
    facts.file_bytes = input_->file_bytes();
    facts.context = model_.context;
    facts.vocab = model_.vocab;
    facts.hidden = model_.hidden;
    facts.layers = model_.layers;
    facts.kv_heads = model_.kv_heads;
    facts.head_dim = model_.head_dim;
    facts.pooling = model_.pooling;
    shm::set_field(facts.architecture, model_.architecture);
    shm::set_field(facts.quantization, plan_.quantization);
    shm::set_field(facts.digest, hex(header.digest));
    const auto name = input_->metadata().text("general.name");
    if (name && *name) shm::set_field(facts.name, printable(**name));
    return facts;
}

}  // namespace bitnetd::worker
