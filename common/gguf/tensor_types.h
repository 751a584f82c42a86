// The tensor types of GGUF files: their names and sizes. Types whose size the file does not tell,
// or that this build has no layout for, are named too, so that a refusal can say what was found.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace bitnetd::gguf {

enum class TypeId : uint32_t {
    kF32 = 0,
    kF16 = 1,
    kQ8_0 = 8,
    kBF16 = 30,
    kTQ1_0 = 34,
    kTQ2_0 = 35,
    kI2_S = 36,
};

// A row of K elements takes row_header_bytes + K / block_elements * block_bytes; K must be a
// multiple of block_elements. A matrix has tail_bytes behind its last row.
struct TensorType {
    TypeId id;
    std::string_view name;
    uint32_t block_elements;  // 0: known by name only; the reader refuses it
    uint32_t block_bytes;
    uint32_t row_header_bytes;
    uint32_t tail_bytes;
    uint32_t rows_multiple;  // the rows of a matrix come in groups of this many
};

// Null when nothing is known of the id (also for removed ones).
const TensorType* find_type(uint32_t id);
const TensorType& type_of(TypeId id);

// Bytes of `matrices` matrices of [rows][columns]; nothing when columns or rows do not fit the
// type's blocks or the size overflows.
std::optional<uint64_t> tensor_bytes(const TensorType& type, uint64_t columns, uint64_t rows,
                                     uint64_t matrices);
// Bytes of one row, header included.
std::optional<uint64_t> row_bytes(const TensorType& type, uint64_t columns);

}  // namespace bitnetd::gguf
