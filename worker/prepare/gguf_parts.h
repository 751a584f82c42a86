// The parts of a split GGUF file: that those given are all there are and belong together. Parts are
// named "<prefix>-00001-of-00003.gguf" and say in three keys which they are; all other keys are in
// the first. A file that is not split is a set of one, whatever its name. Loader process.
#pragma once

#include <cstdint>
#include <vector>

#include "common/base/result.h"
#include "common/gguf/metadata.h"
#include "worker/prepare/model_input.h"

namespace bitnetd::worker {

// Sorts several files by the part numbers in their names. The error names what is missing or does
// not belong.
Result<void> sort_parts(std::vector<NamedSource>& files);

// Checks what the file at `index` of `files` says about itself. The error lists the parts that are
// missing when it is one of several and stands alone.
Result<void> check_part(const gguf::Metadata& keys, const std::vector<NamedSource>& files,
                        size_t index);

// `keys` of the first part, `tensors` of all parts together.
Result<void> check_tensor_total(const gguf::Metadata& keys, uint64_t tensors);

}  // namespace bitnetd::worker
