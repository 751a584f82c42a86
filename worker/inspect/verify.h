// `bitnetctl model verify`: everything that can be wrong with a model, in one pass that goes on
// after an error where it can: the container as its reader checks it, vocabulary and keys, every
// tensor against the architecture's prediction, every value by decoding it; and, when all that is
// well, the packed model by measuring it (accuracy_report.h).
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "worker/inspect/task_io.h"
#include "worker/prepare/prepare.h"

namespace bitnetd::worker {

// {file, ok, format, architecture, bytes, tensors: [{name, type, shape: [rows, columns], bytes,
// statistics}], accuracy, findings: [{severity, subject, message}]}. statistics is null for a
// tensor that cannot be decoded, else {kind: "float", min, max, mean, deviation} or {kind:
// "ternary", scales, scale_min, scale_max, minus, zero, plus}, the last three as shares. `name`:
// what the operator calls the model.
nlohmann::ordered_json verify(std::vector<NamedSource> files, const PrepareOptions& options,
                              std::string_view name, const TaskProgress& progress);

// The same for a person.
std::string verify_text(const nlohmann::ordered_json& report);

}  // namespace bitnetd::worker
