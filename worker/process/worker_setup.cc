#include "worker/process/worker_setup.h"

#include <algorithm>
#include <utility>

namespace bitnetd::worker {
namespace {

SpeculationSettings speculation_of(const Params& params) {
    SpeculationSettings settings;
    settings.draft_tokens_max = static_cast<uint32_t>(params.speculation_draft_tokens_max);
    if (params.speculation_mode == "on") settings.mode = SpeculationMode::kOn;
    // Made-up tokens come at the rate that null_step_us says.
    const bool is_auto = params.speculation_mode == "auto" && params.worker_null_model == 0;
    if (is_auto) settings.mode = SpeculationMode::kAuto;
    return settings;
}

}  // namespace

ExitCode exit_code_of(const Error& error, ExitCode otherwise) {
    switch (error.code) {
        case ErrorCode::kUnsupported:
            return kExitUsage;
        case ErrorCode::kExhausted:
            return kExitNoMemory;
        case ErrorCode::kInvalid:
            return kExitProtocol;
        default:
            return otherwise;
    }
}

Result<WorkerSetup> take_setup(shm::ChildLink& link) {
    WorkerSetup setup;
    for (shm::Message& message : link.take_setup()) {
        if (message.type == shm::MessageType::kWeights) {
            BITNETD_TRY(message.expect_fds(1));
            const int fd = message.fds[0].get();
            BITNETD_TRY(shm::check_weights_sealed(fd));
            BITNETD_ASSIGN(setup.weights, shm::Segment::map_aligned(fd, shm::Access::kRead));
        } else if (message.type == shm::MessageType::kKvArena) {
            BITNETD_TRY(message.expect_fds(1));
            setup.arena = std::move(message.fds[0]);
        } else {
            setup.later.push_back(std::move(message));
        }
    }
    if (setup.weights.bytes() == 0) return invalid("kStart came before kWeights");
    return setup;
}

Result<WeightsView> open_weights_for(const Params& params, const shm::Segment& weights) {
    const auto block_inputs =
        params.worker_block_inputs == "float" ? BlockInputs::kFloat : BlockInputs::kInt8;
    const auto bf16_inputs =
        params.worker_bf16_inputs == "bf16" ? Bf16Inputs::kBf16 : Bf16Inputs::kFloat;
    return open_weights(weights.view(), block_inputs, bf16_inputs);
}

uint32_t context_max_of(const Params& params, uint32_t context, uint64_t positions) {
    const uint64_t wanted =
        params.kv_context_max == 0 ? context : std::min<uint64_t>(context, params.kv_context_max);
    return static_cast<uint32_t>(std::min(wanted, positions));
}

StepLoop::Settings loop_settings(const Params& params, const WeightsView& weights,
                                 uint32_t context_max) {
    const auto ends = weights.end_ids();
    return {.vocab = weights.header.vocab,
            .hidden = weights.header.hidden,
            .pooling = weights.header.pooling,
            .context_max = context_max,
            .slots_max = static_cast<uint32_t>(params.worker_slots_max),
            .step_tokens_max = static_cast<uint32_t>(params.worker_step_tokens_max),
            .end_ids = {ends.begin(), ends.end()},
            .heartbeat_interval_ms = params.server_heartbeat_interval_ms,
            .drain_timeout_ms = params.server_drain_timeout_ms,
            .orphan_timeout_ms = params.server_orphan_timeout_ms,
            .speculation = speculation_of(params)};
}

}  // namespace bitnetd::worker
