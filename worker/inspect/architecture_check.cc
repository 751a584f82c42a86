#include "worker/inspect/architecture_check.h"

#include "worker/inspect/model_vocabulary.h"
#include "worker/prepare/hyperparameters.h"
#include "worker/prepare/weights_plan.h"

namespace bitnetd::worker {

namespace {

gguf::File as_file(const ModelInput& input) {
    gguf::File file;
    file.metadata = input.metadata();
    for (const ModelTensor& tensor : input.tensors()) {
        gguf::TensorInfo info;
        info.name = tensor.name;
        info.dims = {tensor.shape.columns, tensor.shape.rows, 1, 1};
        info.dim_count = tensor.shape.rows == 1 ? 1 : 2;
        info.type = tensor.type;
        info.bytes = tensor.bytes;
        file.tensor_indices.emplace(tensor.name, file.tensors.size());
        file.tensors.push_back(std::move(info));
    }
    return file;
}

}  // namespace

void check_servable(const ModelInput& input, Findings& findings) {
    const gguf::File file = as_file(input);
    const auto known = check_architecture(file);
    if (!known.ok()) findings.error("architecture", known.error().message);
    const auto vocabulary = ModelVocabulary::read(input);
    if (!vocabulary.ok()) findings.error("vocabulary", vocabulary.error().message);
    if (!known.ok() || !vocabulary.ok()) return;  // what follows needs both
    const auto model = read_hyperparameters(file, vocabulary->view().token_count());
    if (!model.ok()) return findings.error("keys", model.error().message);
    const auto plan = plan_weights(file, *model);
    if (!plan.ok()) findings.error("tensors", plan.error().message);
}

}  // namespace bitnetd::worker
