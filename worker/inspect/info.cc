#include "worker/inspect/info.h"

#include <algorithm>
#include <map>
#include <optional>

#include "shm/control/text_field.h"
#include "worker/inspect/architecture_check.h"
#include "worker/inspect/keys_json.h"
#include "worker/inspect/model_vocabulary.h"
#include "worker/inspect/text_table.h"

namespace bitnetd::worker {
namespace {

using Json = nlohmann::ordered_json;
using shm::printable;

// Longer arrays (tokens, merges) are told by their count.
constexpr size_t kArrayShownMax = 64;

Json text_or_null(const gguf::Metadata& keys, std::string_view key) {
    const auto text = keys.text(key);
    return text.ok() && *text ? Json(std::string(**text)) : Json();
}

// The numbers that define the computation, under the names that this project uses for them.
Json shape_json(const gguf::Metadata& keys, const std::string& architecture) {
    constexpr std::pair<const char*, const char*> kNumbers[] = {
        {"layers", "block_count"},
        {"hidden", "embedding_length"},
        {"ffn", "feed_forward_length"},
        {"heads", "attention.head_count"},
        {"kv_heads", "attention.head_count_kv"},
        {"head_dim", "attention.key_length"},
        {"rope_dims", "rope.dimension_count"},
        {"rope_base", "rope.freq_base"},
        {"rope_scaling", "rope.scaling.type"},
        {"norm_eps", "attention.layer_norm_rms_epsilon"},
        {"sliding_window", "attention.sliding_window"},
        {"pooling", "pooling_type"},
        {"context", "context_length"},
        {"vocab", "vocab_size"},
    };
    Json shape = Json::object();
    for (const auto& [name, key] : kNumbers) {
        const gguf::Value* value = keys.find(architecture + "." + key);
        // One value per layer may be as many as there are layers.
        constexpr size_t kLayersMax = 512;
        if (value != nullptr) shape[name] = to_json(*value, kLayersMax);
    }
    return shape;
}

Json types_json(const std::vector<ModelTensor>& tensors) {
    struct Sum {
        uint64_t tensors = 0, parameters = 0, bytes = 0;
    };
    std::map<std::string_view, Sum> sums;
    for (const ModelTensor& tensor : tensors) {
        Sum& sum = sums[quant::name_of(tensor.type)];
        sum.tensors += 1;
        sum.parameters += tensor.shape.rows * tensor.shape.columns;
        sum.bytes += tensor.bytes;
    }
    std::vector<std::pair<std::string_view, Sum>> by_bytes(sums.begin(), sums.end());
    std::stable_sort(by_bytes.begin(), by_bytes.end(),
                     [](const auto& a, const auto& b) { return a.second.bytes > b.second.bytes; });
    Json out = Json::array();
    for (const auto& [type, sum] : by_bytes) {
        out.push_back({{"type", type},
                       {"tensors", sum.tensors},
                       {"parameters", sum.parameters},
                       {"bytes", sum.bytes}});
    }
    return out;
}

Json token_json(const text::VocabularyView& view, std::optional<uint32_t> id) {
    if (!id) return {};
    return {{"id", *id}, {"text", std::string(view.text(*id))}};
}

Json vocabulary_json(const ModelInput& input) {
    if (input.metadata().find("tokenizer.ggml.model") == nullptr) return {};
    const auto vocabulary = ModelVocabulary::read(input);
    if (!vocabulary.ok()) return {{"error", vocabulary.error().message}};
    const text::VocabularyView& view = vocabulary->view();
    Json ends = Json::array();
    for (const uint32_t id : view.end_ids())
        ends.push_back(token_json(view, id));
    const bool is_bpe = view.model() == text::VocabularyModel::kBpe;
    return {{"model", is_bpe ? "bpe" : "spm"},
            {"pre_tokenizer", view.pre_tokenizer()},
            {"tokens", view.token_count()},
            {"bos", token_json(view, view.bos())},
            {"eos", token_json(view, view.eos())},
            {"end_of_turn", token_json(view, view.eot())},
            {"unknown", token_json(view, view.unknown())},
            {"end_of_generation", std::move(ends)},
            {"add_bos", view.has(text::kAddBos)},
            {"add_eos", view.has(text::kAddEos)},
            {"chat_template_bytes", view.chat_template().size()}};
}

Json support_json(const ModelInput& input, const ModelOverrides& overrides) {
    Findings findings;
    check_servable(input, overrides, findings);
    Json reasons = Json::array();
    for (const Finding& finding : findings.all()) {
        if (finding.severity == Severity::kError) {
            reasons.push_back(finding.subject + ": " + finding.message);
        }
    }
    return {{"supported", reasons.empty()}, {"reasons", std::move(reasons)}};
}

std::string cell(const Json& value) {
    if (value.is_null()) return "none";
    if (value.is_string()) return printable(value.get_ref<const std::string&>());
    if (value.is_number_float()) return number_text(value.get<double>());
    return dump(value, -1);
}

std::string token_cell(const Json& token) {
    if (token.is_null()) return "none";
    return std::to_string(token["id"].get<uint32_t>()) + " " + cell(token["text"]);
}

void add_vocabulary(TextTable& table, const Json& vocabulary) {
    if (vocabulary.is_null()) return table.add({"vocabulary", "none"});
    if (vocabulary.contains("error")) return table.add({"vocabulary", cell(vocabulary["error"])});
    const std::string pre = cell(vocabulary["pre_tokenizer"]);
    table.add({"vocabulary", cell(vocabulary["tokens"]) + " tokens, " + cell(vocabulary["model"]) +
                                 (pre.empty() ? "" : ", " + pre)});
    table.add({"begin", token_cell(vocabulary["bos"]) +
                            (vocabulary["add_bos"].get<bool>() ? ", added" : ", not added")});
    std::string ends;
    for (const Json& end : vocabulary["end_of_generation"])
        ends += (ends.empty() ? "" : ", ") + token_cell(end);
    table.add({"end", ends.empty() ? "none" : ends});
    const auto bytes = vocabulary["chat_template_bytes"].get<uint64_t>();
    table.add({"chat template", bytes == 0 ? "none" : bytes_text(bytes)});
}

}  // namespace

std::vector<FileSize> sizes_of(const std::vector<NamedSource>& files) {
    std::vector<FileSize> sizes;
    for (const NamedSource& file : files)
        sizes.push_back({file.name, file.source->bytes()});
    return sizes;
}

std::string_view format_of(const std::vector<FileSize>& files) {
    const bool is_directory = std::any_of(files.begin(), files.end(), [](const FileSize& file) {
        return file.name.ends_with(".safetensors") || file.name == "config.json";
    });
    return is_directory ? "safetensors" : "gguf";
}

Json describe(const ModelInput& input, const ModelOverrides& overrides,
              const std::vector<FileSize>& files) {
    const gguf::Metadata& keys = input.metadata();
    const Json architecture = text_or_null(keys, "general.architecture");
    Json out = {{"format", format_of(files)},
                {"architecture", architecture},
                {"name", text_or_null(keys, "general.name")}};
    out.update(support_json(input, overrides));
    uint64_t parameters = 0;
    Json tensors = Json::array();
    for (const ModelTensor& tensor : input.tensors()) {
        parameters += tensor.shape.rows * tensor.shape.columns;
        tensors.push_back({{"name", tensor.name},
                           {"type", quant::name_of(tensor.type)},
                           {"shape", {tensor.shape.rows, tensor.shape.columns}},
                           {"bytes", tensor.bytes}});
    }
    out["parameters"] = parameters;
    out["shape"] =
        architecture.is_null() ? Json::object() : shape_json(keys, architecture.get<std::string>());
    out["types"] = types_json(input.tensors());
    out["vocabulary"] = vocabulary_json(input);
    out["files"] = Json::array();
    for (const FileSize& file : files)
        out["files"].push_back({{"name", file.name}, {"bytes", file.bytes}});
    out["keys"] = Json::object();
    for (const auto& [key, value] : keys.all())
        out["keys"][key] = to_json(value, kArrayShownMax);
    out["tensors"] = std::move(tensors);
    return out;
}

std::string info_text(const Json& description) {
    TextTable facts("ll");
    facts.add({"architecture", cell(description["architecture"])});
    facts.add({"name", cell(description["name"])});
    facts.add({"format", cell(description["format"])});
    facts.add({"served", description["supported"].get<bool>() ? "yes" : "no"});
    for (const Json& reason : description["reasons"])
        facts.add({"", cell(reason)});
    facts.add({"parameters", count_text(description["parameters"].get<uint64_t>())});
    for (const auto& [name, value] : description["shape"].items())
        facts.add({name, cell(value)});
    add_vocabulary(facts, description["vocabulary"]);

    TextTable types("lrrr");
    for (const Json& type : description["types"]) {
        types.add({cell(type["type"]), cell(type["tensors"]) + " tensors",
                   count_text(type["parameters"].get<uint64_t>()) + " values",
                   bytes_text(type["bytes"].get<uint64_t>())});
    }
    TextTable files("lr");
    for (const Json& file : description["files"])
        files.add({cell(file["name"]), bytes_text(file["bytes"].get<uint64_t>())});
    return facts.text(0) + "types\n" + types.text(2) + "files\n" + files.text(2);
}

}  // namespace bitnetd::worker
