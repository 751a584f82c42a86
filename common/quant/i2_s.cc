// I2_S: two bits a weight in one of three arrangements, one f32 scale behind the matrix.
#include <algorithm>
#include <cstring>

#include "common/quant/block_bits.h"
#include "common/quant/ternary_families.h"

namespace bitnetd::quant {
namespace {

// Byte p of a block holds elements p, p + bytes, p + 2 bytes, p + 3 bytes, the first in the top
// bits. Blocks of one byte are the sequential arrangement. Bytes stay bytes throughout, so that the
// compiler makes vectors of them.
template <size_t block_bytes>
bool decode_blocks(const std::byte* codes, size_t bytes, int8_t* digits) noexcept {
    uint8_t bad[block_bytes] = {};
    for (size_t block = 0; block < bytes; block += block_bytes, digits += 4 * block_bytes) {
        for (size_t p = 0; p < block_bytes; ++p) {
            const auto byte = static_cast<uint8_t>(codes[block + p]);
            bad[p] |= static_cast<uint8_t>(byte & byte >> 1 & 0x55);
            digits[p] = static_cast<int8_t>((byte >> 6) - 1);
            digits[block_bytes + p] = static_cast<int8_t>((byte >> 4 & 3) - 1);
            digits[2 * block_bytes + p] = static_cast<int8_t>((byte >> 2 & 3) - 1);
            digits[3 * block_bytes + p] = static_cast<int8_t>((byte & 3) - 1);
        }
    }
    return std::all_of(bad, bad + block_bytes, [](uint8_t bits) { return bits == 0; });
}

// False when there is a code 3, which stands as digit 2.
using Decode = bool (*)(const std::byte* codes, size_t bytes, int8_t* digits) noexcept;

Decode decoder_of(I2sLayout layout) {
    if (layout == I2sLayout::kBlocks64) return decode_blocks<16>;
    if (layout == I2sLayout::kSequential) return decode_blocks<1>;
    return decode_blocks<32>;
}

class I2s final : public TernaryMatrix {
  public:
    I2s(Shape shape, ReadAt read, I2sLayout layout)
        : TernaryMatrix(shape, std::move(read), 1, ScalesPer::kMatrix),
          decode_codes_(decoder_of(layout)) {}

    Result<void> read_scale() {
        BITNETD_ASSIGN(scale_, fetch_scale(shape().rows * row_bytes()));
        return {};
    }

  protected:
    Result<void> decode(uint64_t first, uint64_t count, std::span<int8_t> digits,
                        std::span<float> scales) override {
        const uint64_t bytes = count * row_bytes();
        BITNETD_ASSIGN(const std::byte* codes, fetch(first * row_bytes(), bytes, buffer_));
        scales[0] = scale_;
        if (decode_codes_(codes, static_cast<size_t>(bytes), digits.data())) return {};
        return refuse_code_3(digits, shape().columns, first);
    }

  private:
    uint64_t row_bytes() const { return shape().columns / 4; }

    Decode decode_codes_;
    float scale_ = 0;
    std::vector<std::byte> buffer_;
};

}  // namespace

OpenedTernary open_i2_s(Shape shape, ReadAt read, const TernaryOptions& options) {
    const uint64_t block = block_elements(options.i2s_layout);
    if (shape.columns % block != 0) {
        return unsupported("an I2_S matrix of " + to_string(shape) +
                           " has rows that do not begin with a block of " + std::to_string(block));
    }
    auto matrix = std::make_unique<I2s>(shape, std::move(read), options.i2s_layout);
    BITNETD_TRY(matrix->read_scale());
    return OpenedTernary(std::move(matrix));
}

}  // namespace bitnetd::quant
