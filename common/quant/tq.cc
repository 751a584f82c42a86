// TQ1_0 and TQ2_0: blocks of 256 digits, each with a half-precision scale. A block of zeros carries
// scale 0 whatever the matrix's scale is, so a reader that wants one scale for the matrix passes
// over it.
#include <algorithm>
#include <cmath>

#include "common/quant/ternary_families.h"
#include "common/quant/tq_digits.h"

namespace bitnetd::quant {
namespace {

class Tq final : public TernaryMatrix {
  public:
    Tq(Type type, Shape shape, ReadAt read)
        : TernaryMatrix(shape, std::move(read), 1, ScalesPer::kBlockOf256),
          two_bit_(type == Type::kTQ2_0),
          block_bytes_(two_bit_ ? kTq2Bytes : kTq1Bytes) {}

  protected:
    Result<void> decode(uint64_t first, uint64_t, std::span<int8_t> digits,
                        std::span<float> scales) override {
        const uint64_t row_blocks = shape().columns / kTqElements;
        BITNETD_ASSIGN(const std::byte* at, fetch(first * row_blocks * block_bytes_,
                                                  scales.size() * block_bytes_, buffer_));
        for (size_t b = 0; b < scales.size(); ++b)
            (two_bit_ ? tq2_0_digits : tq1_0_digits)(at + b * block_bytes_,
                                                     &digits[b * kTqElements]);
        if (two_bit_) BITNETD_TRY(refuse_code_3(digits, shape().columns, first));
        for (size_t b = 0; b < scales.size(); ++b, at += block_bytes_) {
            scales[b] = half_at(at, block_bytes_ - 2);
            if (!std::isfinite(scales[b])) {
                return invalid(place(first + b / row_blocks, b % row_blocks * kTqElements) +
                               ": its block has the scale " + show(scales[b]));
            }
            // Whatever its codes are, a block with scale 0 has weights of 0.
            const auto block = digits.subspan(b * kTqElements, kTqElements);
            if (scales[b] == 0) std::fill(block.begin(), block.end(), int8_t{0});
        }
        return {};
    }

  private:
    bool two_bit_;
    size_t block_bytes_;
    std::vector<std::byte> buffer_;
};

}  // namespace

OpenedTernary open_tq(Type type, Shape shape, ReadAt read) {
    return OpenedTernary(std::make_unique<Tq>(type, shape, std::move(read)));
}

}  // namespace bitnetd::quant
