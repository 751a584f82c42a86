// The part of `bitnetctl model verify` that packs the model as a load does and measures all of it
// (worker/prepare/accuracy.h): ratios of every matrix, and the self-test.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "worker/inspect/findings.h"
#include "worker/inspect/task_io.h"
#include "worker/prepare/model_input.h"
#include "worker/prepare/prepare.h"

namespace bitnetd::worker {

// {table, types: [{type, ratio, minimum, tensor, row}], self_test: {compared, ok}}: the worst
// matrix of each type. `compared` is the table that the scalar one was compared with, or null.
// null when the model cannot be packed. Takes the memory of the packed model. Matrices below their
// minimum become errors in `findings`.
nlohmann::ordered_json accuracy_report(std::unique_ptr<ModelInput> input,
                                       const PrepareOptions& options, const TaskProgress& progress,
                                       Findings& findings);

// The same for a person, a line per type.
std::string accuracy_text(const nlohmann::ordered_json& report);

}  // namespace bitnetd::worker
