#include "worker/convert/convert_plan.h"

#include "common/base/quote.h"
#include "common/quant/encode.h"
#include "common/quant/float_rows.h"
#include "common/quant/type_ids.h"
#include "worker/convert/detected_ternary.h"

namespace bitnetd::worker {
namespace {

using Way = PlannedConversion::Way;
using quant::Type;

bool is_plain_float(Type type) {
    return type == Type::kF32 || type == Type::kF16 || type == Type::kBF16;
}

// Linear layers; the embedding is not one, whatever its values are.
bool may_be_ternary(const ModelTensor& tensor) {
    return tensor.shape.rows > 1 && tensor.name.starts_with("blk.") &&
           tensor.name.ends_with(".weight") && is_plain_float(tensor.type);
}

Result<PlannedConversion> plan_floats(const ModelTensor& tensor, const ConvertOptions& options) {
    PlannedConversion plan;
    plan.tensor = &tensor;
    plan.type = tensor.type;
    if (tensor.shape.rows == 1) {
        // Other readers of GGUF files take norms and biases in F32 only.
        if (is_plain_float(tensor.type)) plan.type = Type::kF32;
    } else if (options.floats) {
        if (quant::float_decoder(tensor.type) == nullptr) {
            return unsupported("type " + std::string(quant::name_of(tensor.type)) +
                               " is not read as numbers, so it cannot become " +
                               std::string(quant::name_of(*options.floats)));
        }
        plan.type = *options.floats;
    }
    plan.way = plan.type == tensor.type ? Way::kBytes : Way::kFloats;
    return plan;
}

Result<PlannedConversion> plan_tensor(ModelInput& input, const ModelTensor& tensor,
                                      const ConvertOptions& options) {
    PlannedConversion plan;
    if (may_be_ternary(tensor) && !tensor.ternary) {
        BITNETD_ASSIGN(plan.detected, detect_ternary(input, tensor));
    }
    if (tensor.ternary || plan.detected) {
        plan.tensor = &tensor;
        plan.way = Way::kTernary;
        plan.type = options.ternary;
    } else {
        BITNETD_ASSIGN(plan, plan_floats(tensor, options));
    }
    if (!quant::id_of(plan.type)) {
        return unsupported("GGUF files have no type " + std::string(quant::name_of(plan.type)));
    }
    BITNETD_ASSIGN(plan.bytes, quant::matrix_bytes(plan.type, tensor.shape));
    return plan;
}

}  // namespace

Result<std::vector<PlannedConversion>> plan_conversion(ModelInput& input,
                                                       const ConvertOptions& options,
                                                       const TaskProgress& progress) {
    uint64_t total = 1;
    for (const ModelTensor& tensor : input.tensors())
        total += tensor.bytes;
    uint64_t done = 0;
    std::vector<PlannedConversion> plans;
    for (const ModelTensor& tensor : input.tensors()) {
        auto plan = plan_tensor(input, tensor, options);
        if (!plan.ok()) return std::move(plan).error().within("tensor " + quote(tensor.name));
        plans.push_back(std::move(plan).value());
        done += tensor.bytes;
        progress("look", done, total);
    }
    return plans;
}

}  // namespace bitnetd::worker
