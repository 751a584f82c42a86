// Which type the number in a GGUF file means. Some numbers were given twice: 39 is MXFP4 or TL2, 42
// is Q2_0 or TL2, by who wrote the file, and the files do not say. The place a tensor takes tells
// them apart, and whether IQ*_BN rows begin with a scale.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "common/base/result.h"
#include "common/quant/quant_types.h"

namespace bitnetd::quant {

// What a file says about one tensor, beside its number.
struct TensorPlace {
    Shape shape;                    // of each matrix
    uint64_t matrices = 1;          // further dimensions multiplied
    uint64_t bytes_until_next = 0;  // from its first byte to the next tensor or the end of the file
    uint64_t alignment = 32;
    std::optional<uint64_t> file_type;  // general.file_type; decides only what size cannot
};

struct ResolvedType {
    Type type;
    RowScales row_scales = RowScales::kCurrent;
    uint64_t bytes = 0;  // of all matrices; at most bytes_until_next
};

// The error names the type, and the sizes expected and found.
Result<ResolvedType> resolve_type(uint32_t id, const TensorPlace& place);

// The number that upstream or, for types it has not, their own project writes; nothing for types
// that are not found in GGUF files.
std::optional<uint32_t> id_of(Type type);

// What is known of a number, supported or not: "Q4_K", "MXFP4 or TL2", "removed", "unknown".
std::string_view describe_id(uint32_t id);

}  // namespace bitnetd::quant
