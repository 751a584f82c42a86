// The tokenizer keys of a GGUF file, checked and turned into a vocabulary image (common/text) that
// a frontend can tokenize from. Loader process. The file is untrusted: a wrong type, length or id
// is an error that names the key.
#pragma once

#include <cstddef>
#include <vector>

#include "common/base/result.h"
#include "common/gguf/metadata.h"

namespace bitnetd::worker {

Result<std::vector<std::byte>> vocabulary_from_gguf(const gguf::Metadata& keys);

}  // namespace bitnetd::worker
