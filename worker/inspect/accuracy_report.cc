#include "worker/inspect/accuracy_report.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "common/base/quote.h"
#include "shm/control/text_field.h"
#include "worker/inspect/text_table.h"
#include "worker/model/aligned_array.h"
#include "worker/prepare/accuracy_check.h"

namespace bitnetd::worker {
namespace {

using Json = nlohmann::ordered_json;

Json to_json(const FullAccuracy& accuracy, const quant::AccuracyMinima& minima) {
    Json types = Json::array();
    for (const MatrixAccuracy& worst : worst_by_type(accuracy.matrices)) {
        types.push_back({{"type", quant::name_of(worst.type)},
                         {"ratio", worst.ratio},
                         {"minimum", minima.of(worst.type)},
                         {"tensor", worst.tensor},
                         {"row", worst.row}});
    }
    return {{"table", "scalar"},
            {"types", std::move(types)},
            {"self_test",
             {{"compared", accuracy.table.empty() ? Json() : Json(accuracy.table)},
              {"ok", accuracy.self_test.ok()}}}};
}

Result<FullAccuracy> pack_and_measure(std::unique_ptr<ModelInput> input,
                                      const PrepareOptions& options, const TaskProgress& progress) {
    BITNETD_ASSIGN(const auto preparation, Preparation::open(std::move(input), options.overrides));
    const AlignedArray<std::byte> segment(preparation.weights_bytes());
    std::fill(segment.span().begin(), segment.span().end(), std::byte{0});
    const uint64_t bytes = segment.size();
    BITNETD_TRY(preparation.pack(
        segment.span(), [&](uint32_t percent) { progress("pack", bytes * percent / 100, bytes); }));
    return full_accuracy(preparation, segment.span(), options.accuracy,
                         [&](uint64_t done_bytes, uint64_t total_bytes) {
                             progress("accuracy", done_bytes, total_bytes);
                         });
}

std::string ratio_text(double ratio) {
    char text[32];
    std::snprintf(text, sizeof text, "%.8f", ratio);
    return text;
}

}  // namespace

Json accuracy_report(std::unique_ptr<ModelInput> input, const PrepareOptions& options,
                     const TaskProgress& progress, Findings& findings) {
    const auto accuracy = pack_and_measure(std::move(input), options, progress);
    if (!accuracy.ok()) {
        findings.error("accuracy", accuracy.error().message);
        return nullptr;
    }
    for (const MatrixAccuracy& matrix : accuracy->matrices) {
        const auto judged = judge_accuracy(matrix, options.accuracy.minima);
        if (!judged.ok()) {
            findings.error("tensor " + quote(matrix.tensor), judged.error().message);
        }
    }
    if (!accuracy->self_test.ok()) {
        findings.error("self-test", accuracy->self_test.error().message);
    }
    return to_json(*accuracy, options.accuracy.minima);
}

std::string accuracy_text(const Json& report) {
    if (report.is_null()) return "";
    TextTable types("llll");
    for (const Json& type : report["types"]) {
        types.add({"accuracy", type["type"].get<std::string>(),
                   ratio_text(type["ratio"].get<double>()),
                   "lowest in " + shm::printable(type["tensor"].get_ref<const std::string&>()) +
                       ", row " + std::to_string(type["row"].get<uint64_t>())});
    }
    const Json& compared = report["self_test"]["compared"];
    return types.text(0) + "self-test " +
           (report["self_test"]["ok"].get<bool>() ? "passed" : "failed") + ": scalar " +
           (compared.is_null() ? "alone" : "and " + compared.get<std::string>()) + "\n";
}

}  // namespace bitnetd::worker
