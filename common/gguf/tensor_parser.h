// Parses the tensor infos one by one, and when all offsets are known decides what their types mean:
// some numbers are told apart only by the place that a tensor takes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "common/base/result.h"
#include "common/gguf/cursor.h"
#include "common/gguf/gguf_reader.h"

namespace bitnetd::gguf {

// One tensor info at the cursor: name and dims are checked, type and offset are not.
Result<TensorInfo> parse_tensor(Cursor& cursor);

// What the file says about all tensors.
struct DataSection {
    uint64_t bytes = 0;  // from data start to the end of the file
    uint64_t alignment = 32;
    std::optional<uint64_t> file_type;  // general.file_type
};

// Sets type, row_scales and bytes of every tensor. Refuses types that cannot be read, offsets that
// are not aligned and tensors that do not end before the next one or the end of the file; gaps and
// any order are accepted, and the padding behind the last tensor may be missing.
Result<void> resolve_types(std::span<TensorInfo> tensors, const DataSection& section);

}  // namespace bitnetd::gguf
