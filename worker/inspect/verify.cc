#include "worker/inspect/verify.h"

#include "common/base/quote.h"
#include "shm/control/text_field.h"
#include "worker/inspect/accuracy_report.h"
#include "worker/inspect/architecture_check.h"
#include "worker/inspect/findings.h"
#include "worker/inspect/info.h"
#include "worker/inspect/tensor_statistics.h"
#include "worker/inspect/text_table.h"

namespace bitnetd::worker {
namespace {

using Json = nlohmann::ordered_json;
using shm::printable;

double share(uint64_t part, uint64_t whole) {
    return static_cast<double>(part) / static_cast<double>(whole);
}

Json to_json(const FloatStatistics& floats) {
    return {{"kind", "float"},
            {"min", floats.min},
            {"max", floats.max},
            {"mean", floats.mean},
            {"deviation", floats.deviation}};
}

Json to_json(const TernaryStatistics& ternary) {
    return {{"kind", "ternary"},
            {"scales", ternary.scales},
            {"scale_min", ternary.scale_min},
            {"scale_max", ternary.scale_max},
            {"minus", share(ternary.digits[0], ternary.count())},
            {"zero", share(ternary.digits[1], ternary.count())},
            {"plus", share(ternary.digits[2], ternary.count())}};
}

// Values that can be decoded and yet can hardly be meant.
void judge(const FloatStatistics& floats, const std::string& subject, Findings& findings) {
    if (floats.min == 0 && floats.max == 0) findings.warn(subject, "every value is zero");
}

void judge(const TernaryStatistics& ternary, const std::string& subject, Findings& findings) {
    if (ternary.digits[0] + ternary.digits[2] == 0) {
        findings.warn(subject, "every weight is zero");
    } else if (ternary.scale_max <= 0) {
        findings.warn(subject,
                      "its scale is " + number_text(ternary.scale_max) + "; expected above 0");
    }
}

Json check_tensor(ModelInput& input, const ModelTensor& tensor, bool as_ternary,
                  const ByteCount& progress, Findings& findings) {
    const std::string subject = "tensor " + quote(tensor.name);
    Json out = {{"name", tensor.name},
                {"type", quant::name_of(tensor.type)},
                {"shape", {tensor.shape.rows, tensor.shape.columns}},
                {"bytes", tensor.bytes},
                {"statistics", nullptr}};
    const auto statistics = measure(input, tensor, as_ternary, progress);
    if (!statistics.ok()) {
        findings.error(subject, statistics.error().message);
        return out;
    }
    std::visit(
        [&](const auto& found) {
            out["statistics"] = to_json(found);
            judge(found, subject, findings);
        },
        *statistics);
    return out;
}

Json check_tensors(ModelInput& input, const TernaryByUse& ternary, const TaskProgress& progress,
                   Findings& findings) {
    uint64_t total = 0;
    for (const ModelTensor& tensor : input.tensors())
        total += tensor.bytes;
    uint64_t done = 0;
    Json out = Json::array();
    for (const ModelTensor& tensor : input.tensors()) {
        const auto count = [&](uint64_t bytes) {
            done += bytes;
            progress("verify", done, total);
        };
        out.push_back(check_tensor(input, tensor, ternary.contains(&tensor), count, findings));
    }
    return out;
}

// Ids that a vocabulary does not have are ignored when a model is loaded, with a log line.
void check_token_ids(const gguf::Metadata& keys, Findings& findings) {
    const auto tokens = keys.texts("tokenizer.ggml.tokens");
    if (!tokens.ok() || !*tokens) return;  // told by check_servable()
    for (const auto& [key, value] : keys.all()) {
        if (!key.starts_with("tokenizer.ggml.") || !key.ends_with("_token_id")) continue;
        const auto id = keys.integer(key, UINT64_MAX);
        if (!id.ok() || !*id || **id < (*tokens)->size()) continue;
        findings.warn("key " + key, "token " + std::to_string(**id) + " of " +
                                        std::to_string((*tokens)->size()) + "; it is ignored");
    }
}

Json findings_json(const Findings& findings) {
    Json out = Json::array();
    for (const Finding& finding : findings.all()) {
        out.push_back({{"severity", finding.severity == Severity::kError ? "error" : "warning"},
                       {"subject", finding.subject},
                       {"message", finding.message}});
    }
    return out;
}

Json architecture_of(const ModelInput& input) {
    const auto architecture = input.metadata().text("general.architecture");
    return architecture.ok() && *architecture ? Json(std::string(**architecture)) : Json();
}

std::string values_cell(const Json& statistics) {
    if (statistics.is_null()) return "not decoded";
    const auto number = [&](const char* key) { return number_text(statistics[key].get<double>()); };
    const auto percent = [&](const char* key) {
        return number_text(statistics[key].get<double>() * 100) + " %";
    };
    if (statistics["kind"] == "float") {
        return number("min") + " .. " + number("max") + ", mean " + number("mean") +
               ", deviation " + number("deviation");
    }
    const std::string scale = statistics["scale_min"] == statistics["scale_max"]
                                  ? number("scale_min")
                                  : number("scale_min") + " .. " + number("scale_max");
    return "scale " + scale + ", -1 " + percent("minus") + ", 0 " + percent("zero") + ", +1 " +
           percent("plus");
}

}  // namespace

Json verify(std::vector<NamedSource> files, const PrepareOptions& options, std::string_view name,
            const TaskProgress& progress) {
    const std::vector<FileSize> sizes = sizes_of(files);
    uint64_t bytes = 0;
    for (const FileSize& file : sizes)
        bytes += file.bytes;
    Json report = {{"file", name},
                   {"ok", false},
                   {"format", format_of(sizes)},
                   {"architecture", nullptr},
                   {"bytes", bytes},
                   {"tensors", Json::array()},
                   {"accuracy", nullptr},
                   {"findings", Json::array()}};
    Findings findings;
    auto input = open_model(std::move(files), options.layout);
    if (!input.ok()) {
        findings.error("file", input.error().message);
    } else {
        report["architecture"] = architecture_of(**input);
        const TernaryByUse ternary = check_servable(**input, options.overrides, findings);
        check_token_ids((*input)->metadata(), findings);
        report["tensors"] = check_tensors(**input, ternary, progress, findings);
        if (findings.errors() == 0) {
            report["accuracy"] = accuracy_report(std::move(*input), options, progress, findings);
        }
    }
    report["ok"] = findings.errors() == 0;
    report["findings"] = findings_json(findings);
    return report;
}

std::string verify_text(const Json& report) {
    TextTable tensors("lllrl");
    for (const Json& tensor : report["tensors"]) {
        const Json& shape = tensor["shape"];
        tensors.add({printable(tensor["name"].get_ref<const std::string&>()),
                     tensor["type"].get<std::string>(),
                     std::to_string(shape[0].get<uint64_t>()) + "x" +
                         std::to_string(shape[1].get<uint64_t>()),
                     bytes_text(tensor["bytes"].get<uint64_t>()),
                     values_cell(tensor["statistics"])});
    }
    std::string out = tensors.text(0) + accuracy_text(report["accuracy"]);
    size_t errors = 0;
    for (const Json& finding : report["findings"]) {
        errors += finding["severity"] == "error" ? 1 : 0;
        out += finding["severity"].get<std::string>() + ": " +
               printable(finding["subject"].get_ref<const std::string&>()) + ": " +
               printable(finding["message"].get_ref<const std::string&>()) + "\n";
    }
    const size_t warnings = report["findings"].size() - errors;
    return out + (report["ok"].get<bool>() ? "ok" : "refused") + ": " +
           std::to_string(report["tensors"].size()) + " tensors, " +
           bytes_text(report["bytes"].get<uint64_t>()) + ", " + std::to_string(errors) +
           " errors, " + std::to_string(warnings) + " warnings\n";
}

}  // namespace bitnetd::worker
