// Parses the tensor infos and checks each by itself, then all of them against the file.
#pragma once

#include <cstdint>
#include <vector>

#include "common/base/result.h"
#include "common/gguf/cursor.h"
#include "common/gguf/gguf_reader.h"

namespace bitnetd::gguf {

// One tensor info at the cursor: name, dims, type and size are checked, the offset is not.
Result<TensorInfo> parse_tensor(Cursor& cursor);

// Alignment of every offset, every range within the data section, no two ranges overlapping.
// data_bytes: from data start to the end of the file.
Result<void> check_places(const std::vector<TensorInfo>& tensors, uint64_t alignment,
                          uint64_t data_bytes);

}  // namespace bitnetd::gguf
