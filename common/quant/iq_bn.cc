// The ternary types of ik_llama.cpp: blocks of 64 digits, the scale at the start of every row
// (IQ2_BN_R4: of four rows at the start of their group). Files made before there were row scales
// have none; the matrix then has the scale it was opened with.
#include <array>
#include <cmath>
#include <cstring>

#include "common/quant/block_bits.h"
#include "common/quant/ternary_families.h"

namespace bitnetd::quant {
namespace {

constexpr size_t kElements = 64;

// IQ1_BN's five digits of a byte, the first least significant (the other way round than TQ1_0).
struct FiveDigits {
    std::array<int8_t, 5> digits{};
    bool made = false;  // the writer makes 243 of the 256 bytes; others mean no weights
};

constexpr std::array<FiveDigits, 256> make_five_digits() {
    std::array<FiveDigits, 256> table{};
    for (unsigned value = 0; value < 243; ++value) {
        FiveDigits& entry = table[(256 * value + 242) / 243];
        entry.made = true;
        unsigned rest = value;
        for (int8_t& digit : entry.digits) {
            digit = static_cast<int8_t>(static_cast<int>(rest % 3) - 1);
            rest /= 3;
        }
    }
    return table;
}
constexpr std::array<FiveDigits, 256> kFiveDigits = make_five_digits();

// Four groups of sixteen: three bytes for the first fifteen of each; the thirteenth byte has the
// last ones of all four. False when a byte is none the writer makes.
bool decode_iq1_bn(const std::byte* block, int8_t* digits) noexcept {
    const FiveDigits& last = kFiveDigits[byte_at(block, 12)];
    bool made = last.made;
    for (size_t group = 0; group < 4; ++group) {
        int8_t* out = digits + 16 * group;
        for (size_t byte = 0; byte < 3; ++byte) {
            const FiveDigits& five = kFiveDigits[byte_at(block, 3 * group + byte)];
            made = made && five.made;
            std::memcpy(out + 5 * byte, five.digits.data(), 5);
        }
        out[15] = last.digits[group];
    }
    return made;
}

// Byte p holds elements p, p + 16, p + 32, p + 48, the first in the low bits.
bool decode_iq2_bn(const std::byte* block, int8_t* digits) noexcept {
    bool bad = false;
    for (size_t p = 0; p < 16; ++p) {
        const unsigned byte = byte_at(block, p);
        bad |= has_code_3(byte);
        for (size_t part = 0; part < 4; ++part) {
            digits[16 * part + p] = static_cast<int8_t>(static_cast<int>(two_bits(byte, part)) - 1);
        }
    }
    return !bad;
}

// 64 bytes of four rows: byte 16l + 4k + i holds row k, columns 16l + i + 0, 4, 8, 12.
bool decode_iq2_bn_r4(const std::byte* block, uint64_t columns, int8_t* digits) noexcept {
    bool bad = false;
    for (size_t at = 0; at < kElements; ++at) {
        const unsigned byte = byte_at(block, at);
        bad |= has_code_3(byte);
        int8_t* out = digits + at / 4 % 4 * columns + at / 16 * 16 + at % 4;
        for (size_t part = 0; part < 4; ++part)
            out[4 * part] = static_cast<int8_t>(static_cast<int>(two_bits(byte, part)) - 1);
    }
    return !bad;
}

class IqBn final : public TernaryMatrix {
  public:
    IqBn(Type type, Shape shape, ReadAt read, const TernaryOptions& options)
        : TernaryMatrix(
              shape, std::move(read), info_of(type).rows_multiple,
              options.row_scales == RowScales::kCurrent ? ScalesPer::kRow : ScalesPer::kMatrix),
          type_(type),
          outer_scale_(options.outer_scale) {
        const TypeInfo& info = info_of(type);
        if (scales_per() == ScalesPer::kRow) header_bytes_ = info.row_header_bytes;
        row_bytes_ = header_bytes_ + shape.columns / kElements * info.block_bytes;
    }

  protected:
    Result<void> decode(uint64_t first, uint64_t count, std::span<int8_t> digits,
                        std::span<float> scales) override {
        const uint64_t columns = shape().columns;
        const uint64_t step_bytes = row_bytes_ * row_step();
        BITNETD_ASSIGN(const std::byte* at, fetch(first * row_bytes_, count * row_bytes_, buffer_));
        if (scales_per() == ScalesPer::kMatrix) scales[0] = outer_scale_;
        for (uint64_t row = 0; row < count; row += row_step(), at += step_bytes) {
            if (header_bytes_ > 0) BITNETD_TRY(read_scales(at, first + row, scales.subspan(row)));
            const auto out = digits.subspan(row * columns, row_step() * columns);
            BITNETD_TRY(decode_step(at + header_bytes_ * row_step(), first + row, out));
        }
        return {};
    }

  private:
    Result<void> read_scales(const std::byte* at, uint64_t first, std::span<float> scales) const {
        for (uint64_t i = 0; i < row_step(); ++i) {
            scales[i] = type_ == Type::kIQ1_BN ? half_at(at, 0) : load<float>(at + 4 * i);
            if (std::isfinite(scales[i])) continue;
            return invalid("row " + std::to_string(first + i) + ": its scale is " +
                           show(scales[i]));
        }
        return {};
    }

    // One row, or four of IQ2_BN_R4.
    Result<void> decode_step(const std::byte* blocks, uint64_t first, std::span<int8_t> digits) {
        const uint64_t columns = shape().columns;
        for (uint64_t column = 0; column < columns; column += kElements) {
            int8_t* out = digits.data() + column;
            if (type_ == Type::kIQ1_BN) {
                if (!decode_iq1_bn(blocks, out)) {
                    return invalid(place(first, column) +
                                   ": its block has a byte that packs no ternary digits");
                }
                blocks += 13;
            } else if (type_ == Type::kIQ2_BN) {
                if (!decode_iq2_bn(blocks, out)) return refuse_code_3(digits, columns, first);
                blocks += 16;
            } else {
                if (!decode_iq2_bn_r4(blocks, columns, out)) {
                    return refuse_code_3(digits, columns, first);
                }
                blocks += 64;
            }
        }
        return {};
    }

    Type type_;
    float outer_scale_;
    uint64_t header_bytes_ = 0;
    uint64_t row_bytes_ = 0;
    std::vector<std::byte> buffer_;
};

}  // namespace

OpenedTernary open_iq_bn(Type type, Shape shape, ReadAt read, const TernaryOptions& options) {
    return OpenedTernary(std::make_unique<IqBn>(type, shape, std::move(read), options));
}

}  // namespace bitnetd::quant
