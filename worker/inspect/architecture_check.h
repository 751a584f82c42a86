// Whether this build can serve a model: vocabulary, keys, and every tensor against what the
// architecture predicts. The same functions as a load uses, so that `verify` and a load agree.
#pragma once

#include "worker/inspect/findings.h"
#include "worker/prepare/model_input.h"

namespace bitnetd::worker {

// Goes on where it can: a bad vocabulary does not hide a missing tensor.
void check_servable(const ModelInput& input, Findings& findings);

}  // namespace bitnetd::worker
