#include "common/gguf/tensor_types.h"

#include "common/base/bytes.h"
#include "common/base/check.h"

namespace bitnetd::gguf {
namespace {

constexpr TensorType row(uint32_t id, std::string_view name, uint32_t elements, uint32_t bytes) {
    return {static_cast<TypeId>(id), name, elements, bytes, 0, 0, 1};
}
constexpr TensorType name_only(uint32_t id, std::string_view name) {
    return row(id, name, 0, 0);
}

// Ids that mean different things to different writers carry both names: their size cannot be known.
constexpr TensorType kTypes[] = {
    row(0, "F32", 1, 4),
    row(1, "F16", 1, 2),
    row(2, "Q4_0", 32, 18),
    row(3, "Q4_1", 32, 20),
    row(6, "Q5_0", 32, 22),
    row(7, "Q5_1", 32, 24),
    row(8, "Q8_0", 32, 34),
    name_only(9, "Q8_1"),
    row(10, "Q2_K", 256, 84),
    row(11, "Q3_K", 256, 110),
    row(12, "Q4_K", 256, 144),
    row(13, "Q5_K", 256, 176),
    row(14, "Q6_K", 256, 210),
    name_only(15, "Q8_K"),
    name_only(16, "IQ2_XXS"),
    name_only(17, "IQ2_XS"),
    name_only(18, "IQ3_XXS"),
    name_only(19, "IQ1_S"),
    name_only(20, "IQ4_NL"),
    name_only(21, "IQ3_S"),
    name_only(22, "IQ2_S"),
    name_only(23, "IQ4_XS"),
    row(24, "I8", 1, 1),
    row(25, "I16", 1, 2),
    row(26, "I32", 1, 4),
    row(27, "I64", 1, 8),
    row(28, "F64", 1, 8),
    name_only(29, "IQ1_M"),
    row(30, "BF16", 1, 2),
    row(34, "TQ1_0", 256, 54),
    row(35, "TQ2_0", 256, 66),
    {TypeId::kI2_S, "I2_S", 128, 32, 0, 32, 1},  // the tail begins with the matrix's f32 scale
    name_only(38, "TL1"),
    name_only(39, "MXFP4 or TL2"),
    name_only(40, "NVFP4"),
    name_only(41, "Q1_0"),
    name_only(42, "Q2_0 or TL2"),
    name_only(133, "Q6_0"),
    {static_cast<TypeId>(134), "IQ1_BN", 64, 13, 2, 0, 1},  // each row begins with its scale
    {static_cast<TypeId>(135), "IQ2_BN", 64, 16, 4, 0, 1},
    name_only(142, "IQ2_TN"),
    name_only(143, "IQ1_TN"),
    {static_cast<TypeId>(335), "IQ2_BN_R4", 64, 16, 4, 0, 4},
};

}  // namespace

const TensorType* find_type(uint32_t id) {
    for (const TensorType& type : kTypes) {
        if (static_cast<uint32_t>(type.id) == id) return &type;
    }
    return nullptr;
}

const TensorType& type_of(TypeId id) {
    const TensorType* type = find_type(static_cast<uint32_t>(id));
    BITNETD_CHECK(type != nullptr);
    return *type;
}

std::optional<uint64_t> row_bytes(const TensorType& type, uint64_t columns) {
    if (type.block_elements == 0 || columns % type.block_elements != 0) return std::nullopt;
    const auto blocks = checked_mul(columns / type.block_elements, type.block_bytes);
    if (!blocks) return std::nullopt;
    return checked_add(*blocks, type.row_header_bytes);
}

std::optional<uint64_t> tensor_bytes(const TensorType& type, uint64_t columns, uint64_t rows,
                                     uint64_t matrices) {
    const auto one_row = row_bytes(type, columns);
    if (!one_row || rows % type.rows_multiple != 0) return std::nullopt;
    const auto all_rows = checked_mul(*one_row, rows);
    if (!all_rows) return std::nullopt;
    const auto matrix = checked_add(*all_rows, type.tail_bytes);
    if (!matrix) return std::nullopt;
    return checked_mul(*matrix, matrices);
}

}  // namespace bitnetd::gguf
