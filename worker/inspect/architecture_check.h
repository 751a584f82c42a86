// Whether this build can serve a model: vocabulary, keys, and every tensor against what the
// architecture predicts. The same functions as a load uses, so that `verify` and a load agree.
#pragma once

#include <set>

#include "worker/inspect/findings.h"
#include "worker/prepare/hyperparameters.h"
#include "worker/prepare/model_input.h"

namespace bitnetd::worker {

// Tensors stored as floats that the architecture takes for ternary: a load refuses any other
// values.
using TernaryByUse = std::set<const ModelTensor*>;

// `overrides`: what the operator says that files do not.
// Goes on where it can: an unknown architecture does not hide a bad vocabulary. What it returns
// points into `input`, and is empty where the architecture's prediction did not hold.
TernaryByUse check_servable(const ModelInput& input, const ModelOverrides& overrides,
                            Findings& findings);

}  // namespace bitnetd::worker
