#include "worker/prepare/ternary_rows.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>

#include "common/base/bytes.h"
#include "common/base/check.h"
#include "worker/prepare/float_rows.h"

namespace bitnetd::worker {
namespace {

using TypeId = quant::Type;

std::string show(float value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.9g", static_cast<double>(value));
    return text;
}

// Two-bit codes are decoded to code - 1; code 3, now digit 2, is no weight.
Result<void> check_codes(std::span<const int8_t> digits) {
    const auto bad = std::find(digits.begin(), digits.end(), int8_t{2});
    if (bad == digits.end()) return {};
    return invalid("weight " + std::to_string(bad - digits.begin()) +
                   " has code 3, which stands for no ternary value");
}

// Byte p of a block of 128 holds weights p, p+32, p+64, p+96, the first in the top two bits.
// Written so that the compiler makes vectors of it: a model has thousands of millions of weights.
Result<void> decode_i2_s(const std::byte* row, std::span<int8_t> digits) {
    constexpr size_t kBlock = 128;
    constexpr size_t kBytes = 32;
    unsigned bad = 0;  // bit pairs that are 11
    for (size_t block = 0; block < digits.size() / kBlock; ++block) {
        const auto* in = reinterpret_cast<const uint8_t*>(row) + block * kBytes;
        int8_t* out = digits.data() + block * kBlock;
        for (size_t p = 0; p < kBytes; ++p) {
            out[p] = static_cast<int8_t>((in[p] >> 6) - 1);
            out[p + 32] = static_cast<int8_t>((in[p] >> 4 & 3) - 1);
            out[p + 64] = static_cast<int8_t>((in[p] >> 2 & 3) - 1);
            out[p + 96] = static_cast<int8_t>((in[p] & 3) - 1);
        }
        for (size_t p = 0; p < kBytes; ++p)
            bad |= in[p] & in[p] >> 1 & 0x55u;
    }
    return bad == 0 ? Result<void>() : check_codes(digits);
}

constexpr size_t kTqBlock = 256;

// 64 bytes: byte 32h + l holds weights 128h + 32g + l, group g in bits 2g and up.
void decode_tq2_0(const std::byte* block, int8_t* digits) {
    for (size_t i = 0; i < kTqBlock; ++i) {
        const auto byte = std::to_integer<unsigned>(block[i / 128 * 32 + i % 32]);
        digits[i] = static_cast<int8_t>(static_cast<int>(byte >> (i % 128 / 32 * 2) & 3) - 1);
    }
}

// Digit `index` (0 is the most significant) of a byte that holds five base-3 digits.
int8_t base3_digit(std::byte packed, size_t index) {
    static constexpr unsigned kPowers[] = {1, 3, 9, 27, 81};
    const unsigned rest = std::to_integer<unsigned>(packed) * kPowers[index] & 255;
    return static_cast<int8_t>(static_cast<int>(rest * 3 >> 8) - 1);
}

// 48 bytes of five digits, then 4 of four: weights run over 32, then 16, then 4 bytes at a time.
void decode_tq1_0(const std::byte* block, int8_t* digits) {
    for (size_t i = 0; i < 160; ++i)
        digits[i] = base3_digit(block[i % 32], i / 32);
    for (size_t i = 0; i < 80; ++i)
        digits[160 + i] = base3_digit(block[32 + i % 16], i / 16);
    for (size_t i = 0; i < 16; ++i)
        digits[240 + i] = base3_digit(block[48 + i % 4], i / 4);
}

}  // namespace

Result<TernaryDecoder> TernaryDecoder::create(TypeId type, std::span<const std::byte> tail) {
    TernaryDecoder decoder(type);
    if (type != TypeId::kI2_S) return decoder;
    BITNETD_CHECK(tail.size() >= sizeof(float));
    const auto scale = load<float>(tail.data());
    if (!std::isfinite(scale)) return invalid("its scale is " + show(scale));
    decoder.scale_ = scale;
    return decoder;
}

Result<void> TernaryDecoder::decode(std::span<const std::byte> row, std::span<int8_t> digits) {
    switch (type_) {
        case TypeId::kI2_S:
            return decode_i2_s(row.data(), digits);
        case TypeId::kTQ1_0:
        case TypeId::kTQ2_0:
            return decode_blocks(row, digits);
        default:
            return decode_values(row, digits);
    }
}

Result<void> TernaryDecoder::take_scale(float scale) {
    if (!std::isfinite(scale)) return invalid("a block has the scale " + show(scale));
    if (!scale_) scale_ = scale;
    if (*scale_ == scale) return {};
    return unsupported("it has weights of magnitude " + show(*scale_) + " and " + show(scale) +
                       "; a ternary matrix has one");
}

Result<void> TernaryDecoder::decode_blocks(std::span<const std::byte> row,
                                           std::span<int8_t> digits) {
    const bool two_bit = type_ == TypeId::kTQ2_0;
    const size_t block_bytes = two_bit ? 66 : 54;
    for (size_t block = 0; block < digits.size() / kTqBlock; ++block) {
        const std::byte* at = row.data() + block * block_bytes;
        const std::span<int8_t> out = digits.subspan(block * kTqBlock, kTqBlock);
        (two_bit ? decode_tq2_0 : decode_tq1_0)(at, out.data());
        BITNETD_TRY(check_codes(out));
        float scale = 0;
        BITNETD_TRY(decode_floats(TypeId::kF16, {at + block_bytes - 2, 2}, {&scale, 1}));
        // A block of zeros carries scale 0 whatever the matrix's scale is.
        if (scale == 0) std::fill(out.begin(), out.end(), int8_t{0});
        if (scale != 0) BITNETD_TRY(take_scale(scale));
    }
    return {};
}

Result<void> TernaryDecoder::decode_values(std::span<const std::byte> row,
                                           std::span<int8_t> digits) {
    values_.resize(digits.size());
    BITNETD_TRY(decode_floats(type_, row, values_));
    for (size_t i = 0; i < digits.size(); ++i) {
        const float value = values_[i];
        digits[i] = static_cast<int8_t>((value > 0) - (value < 0));
        if (value != 0) BITNETD_TRY(take_scale(std::fabs(value)));
    }
    return {};
}

}  // namespace bitnetd::worker
