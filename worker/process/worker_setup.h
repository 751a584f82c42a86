// What the supervisor sends a worker before kStart, taken in and checked, and what follows from its
// settings whatever device the worker computes on. Main thread, before READY.
#pragma once

#include <cstdint>
#include <vector>

#include "common/base/fd.h"
#include "common/base/result.h"
#include "common/config/exit_codes.h"
#include "common/config/params.h"
#include "shm/control/child_link.h"
#include "shm/segment/segment.h"
#include "worker/loop/step_loop.h"
#include "worker/model/weights_view.h"

namespace bitnetd::worker {

// What went wrong before READY, and the code that tells the supervisor.
struct Failure {
    ExitCode code;
    Error error;
};

// Settings that ask for what cannot be are the operator's, whichever step met them; `otherwise`: of
// what is nobody's input.
ExitCode exit_code_of(const Error& error, ExitCode otherwise);

struct WorkerSetup {
    shm::Segment weights;
    Fd arena;                         // of a CPU worker's KV cache
    std::vector<shm::Message> later;  // frontends, for the loop
};

// Needs weights; the arena is the caller's to ask for.
Result<WorkerSetup> take_setup(shm::ChildLink& link);

// The weights as the settings want their inputs.
Result<WeightsView> open_weights_for(const Params& params, const shm::Segment& weights);

// Positions of one sequence, where the KV cache holds `positions` and the model was made for
// `context`.
uint32_t context_max_of(const Params& params, uint32_t context, uint64_t positions);

StepLoop::Settings loop_settings(const Params& params, const WeightsView& weights,
                                 uint32_t context_max);

}  // namespace bitnetd::worker
