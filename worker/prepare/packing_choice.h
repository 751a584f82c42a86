// Which packing the kernels read a tensor in, from what it is to the model and how it is stored.
#pragma once

#include <cstdint>

#include "common/base/result.h"
#include "shm/abi/weights_abi.h"
#include "worker/model/family.h"
#include "worker/prepare/model_input.h"

namespace bitnetd::worker {

struct PackingChoice {
    shm::Packing packing{};
    uint32_t block_format = 0;  // of kBlocks
};

// The error names the tensor and what is supported in its place.
Result<PackingChoice> choose_packing(const ModelTensor& tensor, TensorKind kind,
                                     const Family& family);

}  // namespace bitnetd::worker
