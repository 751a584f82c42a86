// Reads the head of a GGUF file, version 2 or 3: key/value pairs and tensor infos, everything
// checked that can be checked without knowing the architecture. Tensor data is left in the source;
// a caller reads it at data_start + TensorInfo::offset, a range that is known to lie within the
// file. The input is untrusted. No length or count is believed before it was compared with what is
// left of the file, and no memory is reserved from a count alone. Used by the loader process, and
// by tests. One idea per file: cursor.h (bounded sequential reading), value_parser.h,
// tensor_parser.h (tensor infos one by one, then their types and places together).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/base/source.h"
#include "common/gguf/metadata.h"
#include "common/quant/quant_types.h"

namespace bitnetd::gguf {

// Limits of our own (the format has none that are useful).
inline constexpr uint64_t kKeysMax = 65'536;
inline constexpr uint64_t kTensorsMax = 65'536;
inline constexpr uint64_t kKeyBytesMax = 65'535;
inline constexpr uint64_t kTensorNameBytesMax = 64;
inline constexpr uint64_t kStringBytesMax = 16ull << 20;
inline constexpr uint64_t kArrayElementsMax = 4ull
                                              << 20;     // merges of the largest vocabularies: 2 M
inline constexpr uint64_t kHeadBytesMax = 128ull << 20;  // all before the tensor data
inline constexpr uint64_t kAlignmentMax = 65'536;
inline constexpr uint32_t kDimsMax = 4;

struct TensorInfo {
    std::string name;
    std::array<uint64_t, kDimsMax> dims{1, 1, 1, 1};  // fastest-varying first; 1 beyond dim_count
    uint32_t dim_count = 0;
    uint32_t type_id = 0;  // as in the file
    quant::Type type{};    // what it means there
    quant::RowScales row_scales = quant::RowScales::kCurrent;
    uint64_t offset = 0;  // from File::data_start
    uint64_t bytes = 0;   // of all matrices, tails included

    // At most quant::kElementsMax.
    uint64_t elements() const { return dims[0] * dims[1] * dims[2] * dims[3]; }
    // A tensor is matrices() matrices of this shape; a vector is a matrix of one row.
    quant::Shape shape() const { return {dims[1], dims[0]}; }
    uint64_t matrices() const { return dims[2] * dims[3]; }
};

struct File {
    uint32_t version = 0;
    Metadata metadata;
    std::vector<TensorInfo> tensors;  // in file order; no two of one name
    uint64_t alignment = 32;
    uint64_t data_start = 0;
    uint64_t file_bytes = 0;
};

// The error names the key or tensor, what was expected and what was found. A part of a split file
// has no general.file_type of its own: `file_type` is that of the first part.
Result<File> read(Source& source, std::optional<uint64_t> file_type = std::nullopt);

}  // namespace bitnetd::gguf
