// Weights of Hugging Face checkpoints as uint8 [ceil(rows / 4)][columns]: with R packed rows,
// packed row p holds rows p, p + R, p + 2R, p + 3R, the first in the low bits. The scale stands
// elsewhere.
#include <algorithm>
#include <cmath>

#include "common/quant/block_bits.h"
#include "common/quant/ternary_families.h"

namespace bitnetd::quant {
namespace {

class PackedU8 final : public TernaryMatrix {
  public:
    PackedU8(Shape shape, ReadAt read, float scale)
        : TernaryMatrix(shape, std::move(read), 1, ScalesPer::kMatrix),
          scale_(scale),
          packed_rows_((shape.rows + 3) / 4) {}

  protected:
    // A run of rows within one quarter is one run of packed rows.
    Result<void> decode(uint64_t first, uint64_t count, std::span<int8_t> digits,
                        std::span<float> scales) override {
        const uint64_t columns = shape().columns;
        scales[0] = scale_;
        while (count > 0) {
            const uint64_t quarter = first / packed_rows_;
            const uint64_t packed = first % packed_rows_;
            const uint64_t rows = std::min(count, packed_rows_ - packed);
            BITNETD_ASSIGN(const std::byte* bytes,
                           fetch(packed * columns, rows * columns, buffer_));
            const auto out = digits.first(rows * columns);
            for (size_t i = 0; i < out.size(); ++i) {
                out[i] =
                    static_cast<int8_t>(static_cast<int>(two_bits(byte_at(bytes, i), quarter)) - 1);
            }
            BITNETD_TRY(refuse_code_3(out, columns, first));
            digits = digits.subspan(rows * columns);
            first += rows;
            count -= rows;
        }
        return {};
    }

  private:
    float scale_;
    uint64_t packed_rows_;
    std::vector<std::byte> buffer_;
};

}  // namespace

OpenedTernary open_packed_u8(Shape shape, ReadAt read, const TernaryOptions& options) {
    return OpenedTernary(std::make_unique<PackedU8>(shape, std::move(read), options.outer_scale));
}

}  // namespace bitnetd::quant
