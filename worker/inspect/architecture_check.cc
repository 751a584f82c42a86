#include "worker/inspect/architecture_check.h"

#include "worker/inspect/model_vocabulary.h"
#include "worker/prepare/weights_plan.h"

namespace bitnetd::worker {

namespace {

TernaryByUse ternary_by_use(const WeightsPlan& plan) {
    TernaryByUse out;
    for (const PlannedTensor& planned : plan.tensors) {
        const bool is_ternary = planned.entry.packing == shm::Packing::kTernary2Bit;
        if (is_ternary && !planned.source->ternary) out.insert(planned.source);
    }
    return out;
}

}  // namespace

TernaryByUse check_servable(const ModelInput& input, const ModelOverrides& overrides,
                            Findings& findings) {
    const auto known = check_architecture(input.metadata());
    if (!known.ok()) findings.error("architecture", known.error().message);
    const auto vocabulary = ModelVocabulary::read(input);
    if (!vocabulary.ok()) findings.error("vocabulary", vocabulary.error().message);
    if (!known.ok() || !vocabulary.ok()) return {};  // what follows needs both
    const auto model =
        read_hyperparameters(input.metadata(), vocabulary->view().token_count(), overrides);
    if (!model.ok()) {
        findings.error("keys", model.error().message);
        return {};
    }
    const auto plan = plan_weights(input, *model, overrides.output_screen);
    if (plan.ok()) return ternary_by_use(*plan);
    findings.error("tensors", plan.error().message);
    return {};
}

}  // namespace bitnetd::worker
