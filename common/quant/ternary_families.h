// What open_ternary() chooses from, one source per family. Internal to common/quant.
#pragma once

#include "common/quant/ternary_matrix.h"

namespace bitnetd::quant {

using OpenedTernary = Result<std::unique_ptr<TernaryMatrix>>;

OpenedTernary open_i2_s(Shape shape, ReadAt read, const TernaryOptions& options);
OpenedTernary open_tq(Type type, Shape shape, ReadAt read);  // TQ1_0, TQ2_0
OpenedTernary open_tl1(Shape shape, ReadAt read, const TernaryOptions& options);
OpenedTernary open_tl2(Shape shape, ReadAt read, const TernaryOptions& options);
// IQ1_BN, IQ2_BN, IQ2_BN_R4
OpenedTernary open_iq_bn(Type type, Shape shape, ReadAt read, const TernaryOptions& options);
OpenedTernary open_packed_u8(Shape shape, ReadAt read, const TernaryOptions& options);

// Two-bit codes 0, 1, 2 stand for -1, 0, +1. True when one of the four in `byte` is 3.
inline bool has_code_3(unsigned byte) noexcept {
    return (byte & byte >> 1 & 0x55) != 0;
}

// Codes decoded as code - 1: an error that names the first digit 2 of `digits` [rows][columns],
// whose first row is `first_row` of its matrix.
Result<void> refuse_code_3(std::span<const int8_t> digits, uint64_t columns, uint64_t first_row);

// "row R, column C", for messages.
std::string place(uint64_t row, uint64_t column);
// "%.9g": a float's shortest text that tells it from all others.
std::string show(float value);

}  // namespace bitnetd::quant
