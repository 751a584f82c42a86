#include "common/quant/quant_types.h"

#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/quant/tl2_sizes.h"

namespace bitnetd::quant {
namespace {

constexpr TypeInfo plain(Type type, std::string_view name, uint32_t elements, uint32_t bytes) {
    return {type, name, elements, bytes, 0, 0, 1, false};
}
constexpr TypeInfo ternary(Type type, std::string_view name, uint32_t elements, uint32_t bytes,
                           uint32_t row_header, uint32_t tail, uint32_t rows_multiple) {
    return {type, name, elements, bytes, row_header, tail, rows_multiple, true};
}

// In the order of Type.
constexpr TypeInfo kTypes[] = {
    plain(Type::kF32, "F32", 1, 4),
    plain(Type::kF16, "F16", 1, 2),
    plain(Type::kBF16, "BF16", 1, 2),
    plain(Type::kF64, "F64", 1, 8),
    plain(Type::kI8, "I8", 1, 1),
    plain(Type::kI16, "I16", 1, 2),
    plain(Type::kI32, "I32", 1, 4),
    plain(Type::kI64, "I64", 1, 8),
    plain(Type::kQ8_0, "Q8_0", 32, 34),
    plain(Type::kQ4_0, "Q4_0", 32, 18),
    plain(Type::kQ4_1, "Q4_1", 32, 20),
    plain(Type::kQ5_0, "Q5_0", 32, 22),
    plain(Type::kQ5_1, "Q5_1", 32, 24),
    plain(Type::kQ2_K, "Q2_K", 256, 84),
    plain(Type::kQ3_K, "Q3_K", 256, 110),
    plain(Type::kQ4_K, "Q4_K", 256, 144),
    plain(Type::kQ5_K, "Q5_K", 256, 176),
    plain(Type::kQ6_K, "Q6_K", 256, 210),
    plain(Type::kQ1_0, "Q1_0", 128, 18),
    plain(Type::kQ2_0, "Q2_0", 64, 18),
    ternary(Type::kTQ1_0, "TQ1_0", 256, 54, 0, 0, 1),
    ternary(Type::kTQ2_0, "TQ2_0", 256, 66, 0, 0, 1),
    // Four codes to a byte; the blocks of its variants differ and are the decoder's business.
    ternary(Type::kI2_S, "I2_S", 4, 1, 0, 32, 1),
    ternary(Type::kTL1, "TL1", 4, 1, 0, 32, 32),
    ternary(Type::kTL2, "TL2", 32, 0, 0, 0, 32),
    ternary(Type::kIQ1_BN, "IQ1_BN", 64, 13, 2, 0, 1),
    ternary(Type::kIQ2_BN, "IQ2_BN", 64, 16, 4, 0, 1),
    ternary(Type::kIQ2_BN_R4, "IQ2_BN_R4", 64, 16, 4, 0, 4),
    ternary(Type::kPackedU8, "packed U8", 1, 0, 0, 0, 1),
    plain(Type::kMXFP4, "MXFP4", 32, 17),
    plain(Type::kNVFP4, "NVFP4", 64, 36),
};

constexpr bool in_order() {
    for (size_t i = 0; i < std::size(kTypes); ++i) {
        if (static_cast<size_t>(kTypes[i].type) != i) return false;
    }
    return std::size(kTypes) == static_cast<size_t>(Type::kNVFP4) + 1;
}
static_assert(in_order());

Error does_not_fit(const TypeInfo& info, Shape shape, std::string_view why) {
    return invalid("a matrix of " + to_string(shape) + " cannot be " + std::string(info.name) +
                   ": " + std::string(why));
}

Result<void> check_shape(const TypeInfo& info, Shape shape) {
    if (shape.rows == 0 || shape.columns == 0) return does_not_fit(info, shape, "it is empty");
    const auto elements = checked_mul(shape.rows, shape.columns);
    if (!elements || *elements > kElementsMax) return does_not_fit(info, shape, "it is too large");
    if (shape.columns % info.block_elements != 0) {
        return does_not_fit(info, shape,
                            "columns come in blocks of " + std::to_string(info.block_elements));
    }
    if (shape.rows % info.rows_multiple != 0) {
        return does_not_fit(info, shape,
                            "rows come in groups of " + std::to_string(info.rows_multiple));
    }
    return {};
}

}  // namespace

const TypeInfo& info_of(Type type) {
    const auto index = static_cast<size_t>(type);
    BITNETD_CHECK(index < std::size(kTypes));
    return kTypes[index];
}

// Products below cannot overflow: kElementsMax elements of at most 8 bytes, and no more row headers
// than elements.
Result<uint64_t> matrix_bytes(Type type, Shape shape, RowScales scales) {
    const TypeInfo& info = info_of(type);
    BITNETD_TRY(check_shape(info, shape));
    if (type == Type::kTL2) return tl2_bytes(shape);
    if (type == Type::kPackedU8) return (shape.rows + 3) / 4 * shape.columns;
    const uint64_t header = scales == RowScales::kCurrent ? info.row_header_bytes : 0;
    const uint64_t row = header + shape.columns / info.block_elements * info.block_bytes;
    return row * shape.rows + info.tail_bytes;
}

std::string to_string(Shape shape) {
    return std::to_string(shape.rows) + "x" + std::to_string(shape.columns);
}

}  // namespace bitnetd::quant
