// Tensor types: their names and sizes. The folder turns the bytes of tensors into numbers and back.
// float_rows.h: any type as floats; block_codes.h: block types as small numbers and their factors;
// ternary_matrix.h: ternary types as digits and scales, exactly;
// encode.h: the way back; type_ids.h: which type a number in a GGUF file means.
// Pure functions of untrusted bytes: whatever they are, the answer is values or an error, and
// memory is bounded by a few rows. No file or container is known here. Used by the loader and by
// tests.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace bitnetd::quant {

enum class Type : uint8_t {
    kF32,
    kF16,
    kBF16,
    kF64,
    kI8,
    kI16,
    kI32,
    kI64,
    kQ8_0,
    kQ4_0,
    kQ4_1,
    kQ5_0,
    kQ5_1,
    kQ2_K,
    kQ3_K,
    kQ4_K,
    kQ5_K,
    kQ6_K,
    kQ1_0,
    kQ2_0,
    kTQ1_0,
    kTQ2_0,
    kI2_S,
    kTL1,
    kTL2,
    kIQ1_BN,
    kIQ2_BN,
    kIQ2_BN_R4,
    kPackedU8,  // four rows to a byte: Hugging Face checkpoints, never in GGUF
    kMXFP4,     // size known, so that it can be told apart; not decoded
    kNVFP4,
};

// Bound of one matrix; a model with more elements in one is not believed.
inline constexpr uint64_t kElementsMax = 1ull << 48;

// One matrix: [rows][columns], columns contiguous. A vector is a matrix of one row.
struct Shape {
    uint64_t rows = 0;
    uint64_t columns = 0;
};

// A row of K elements takes row_header_bytes + K / block_elements * block_bytes, and a matrix has
// tail_bytes behind its last row. TL1, TL2 and PackedU8 have no rows of their own bytes: for them
// block_elements only bounds the shape and matrix_bytes() has the formula.
struct TypeInfo {
    Type type;
    std::string_view name;
    uint32_t block_elements;
    uint32_t block_bytes;
    uint32_t row_header_bytes;
    uint32_t tail_bytes;
    uint32_t rows_multiple;  // the rows of a matrix come in groups of this many
    bool ternary;            // ternary_matrix.h reads it
};

const TypeInfo& info_of(Type type);
inline std::string_view name_of(Type type) {
    return info_of(type).name;
}

// IQ1_BN, IQ2_BN and IQ2_BN_R4 files made before 25 October 2024 have no scale at the start of each
// row; only their size tells. Other types have one form, kCurrent.
enum class RowScales : uint8_t { kCurrent, kAbsent };

// Bytes of one matrix, tail included. The error says why the shape cannot be stored in the type.
Result<uint64_t> matrix_bytes(Type type, Shape shape, RowScales scales = RowScales::kCurrent);

// "ROWSxCOLUMNS", for messages.
std::string to_string(Shape shape);

}  // namespace bitnetd::quant
