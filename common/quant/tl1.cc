// TL1: pairs of neighbouring weights as one code 3a + b + 4, arranged for the table look-ups of the
// kernel that wrote the file. The matrix is cut into bands of BM rows, these into tiles of BK
// columns, these into groups of bm rows, and those into 64 bytes that hold 256 / bm columns.
// Walking the bytes of a band in order walks exactly these loops. One f32 scale stands behind the
// codes.
#include "common/quant/block_bits.h"
#include "common/quant/ternary_families.h"

namespace bitnetd::quant {
namespace {

constexpr unsigned kCodesEnd = 9;
constexpr uint64_t kGroupBytes = 64;

class Tl1 final : public TernaryMatrix {
  public:
    Tl1(Shape shape, ReadAt read, const Tile& tile)
        : TernaryMatrix(shape, std::move(read), tile.rows, ScalesPer::kMatrix), tile_(tile) {}

    Result<void> read_scale() {
        BITNETD_ASSIGN(scale_, fetch_scale(shape().rows * shape().columns / 4));
        return {};
    }

  protected:
    Result<void> decode(uint64_t first, uint64_t count, std::span<int8_t> digits,
                        std::span<float> scales) override {
        const uint64_t band_digits = tile_.rows * shape().columns;
        scales[0] = scale_;
        for (uint64_t done = 0; done < count; done += tile_.rows) {
            BITNETD_ASSIGN(const std::byte* codes,
                           fetch((first + done) * shape().columns / 4, band_digits / 4, buffer_));
            const uint64_t from = done * shape().columns;
            BITNETD_TRY(decode_band(codes, first + done, digits.subspan(from, band_digits)));
        }
        return {};
    }

  private:
    Result<void> decode_band(const std::byte* codes, uint64_t band_row, std::span<int8_t> digits) {
        const uint64_t group_columns = 256 / tile_.group_rows;
        for (uint64_t column = 0; column < shape().columns; column += tile_.columns) {
            for (uint64_t row = 0; row < tile_.rows; row += tile_.group_rows) {
                for (uint64_t k = 0; k < tile_.columns; k += group_columns) {
                    BITNETD_TRY(decode_group(codes, band_row, row, column + k, digits));
                    codes += kGroupBytes;
                }
            }
        }
        return {};
    }

    // 64 bytes: sixteen rows at a time, and within them two pairs of columns per sixteen bytes.
    Result<void> decode_group(const std::byte* codes, uint64_t band_row, uint64_t row,
                              uint64_t column, std::span<int8_t> digits) {
        const uint64_t pieces = 64 / tile_.group_rows;  // of sixteen bytes, per sixteen rows
        for (uint64_t at = 0; at < kGroupBytes; ++at) {
            const uint64_t r = row + at / (16 * pieces) * 16 + at % 16;
            const uint64_t c = column + at / 16 % pieces * 4;
            const unsigned byte = byte_at(codes, at);
            const unsigned high = high_nibble(byte);
            const unsigned low = low_nibble(byte);
            if (high >= kCodesEnd || low >= kCodesEnd) {
                return invalid(place(band_row + r, high >= kCodesEnd ? c : c + 2) + ": pair code " +
                               std::to_string(high >= kCodesEnd ? high : low) +
                               " is above 8; the tile sizes may be others");
            }
            int8_t* out = digits.data() + r * shape().columns + c;
            out[0] = static_cast<int8_t>(static_cast<int>(high / 3) - 1);
            out[1] = static_cast<int8_t>(static_cast<int>(high % 3) - 1);
            out[2] = static_cast<int8_t>(static_cast<int>(low / 3) - 1);
            out[3] = static_cast<int8_t>(static_cast<int>(low % 3) - 1);
        }
        return {};
    }

    Tile tile_;
    float scale_ = 0;
    std::vector<std::byte> buffer_;
};

}  // namespace

OpenedTernary open_tl1(Shape shape, ReadAt read, const TernaryOptions& options) {
    BITNETD_ASSIGN(const Tile tile, find_tile(Type::kTL1, shape, options.tiles));
    auto matrix = std::make_unique<Tl1>(shape, std::move(read), tile);
    BITNETD_TRY(matrix->read_scale());
    return OpenedTernary(std::move(matrix));
}

}  // namespace bitnetd::quant
