// TL2: of each row, the columns that fill whole tiles are stored as triples (a 4-bit index of the
// magnitude |9a + 3b + c| and a sign bit), the rest as pairs (code 3a + b + 4). Three sections,
// each cut into bands of BM rows, these into tiles of BK columns (pairs: 32), these into groups of
// 32 rows. Walking the bytes of a band's part of a section in order walks exactly these loops. One
// f32 scale stands behind the padding that follows the codes.
#include <algorithm>
#include <array>

#include "common/quant/block_bits.h"
#include "common/quant/ternary_families.h"
#include "common/quant/tl2_sizes.h"

namespace bitnetd::quant {
namespace {

constexpr uint64_t kGroupRows = 32;
constexpr unsigned kIndicesEnd = 14;
constexpr unsigned kPairCodesEnd = 9;
constexpr uint64_t kPairTileColumns = 32;
constexpr uint64_t kPaddingChunkBytes = 64 * 1024;

// Within 32 bytes of a group, the second and third eight rows change places (an involution).
constexpr uint64_t row_of_byte(uint64_t at) noexcept {
    constexpr uint64_t kEight[] = {0, 2, 1, 3};
    return 8 * kEight[at / 8] + at % 8;
}

using Triple = std::array<int8_t, 3>;

// Digits of v = 9a + 3b + c, v = 0..13, balanced.
constexpr std::array<Triple, kIndicesEnd> make_triples() {
    std::array<Triple, kIndicesEnd> out{};
    for (unsigned v = 0; v < kIndicesEnd; ++v) {
        const unsigned shifted = v + 13;  // digits + 1 in base 3
        out[v] = {static_cast<int8_t>(static_cast<int>(shifted / 9) - 1),
                  static_cast<int8_t>(static_cast<int>(shifted / 3 % 3) - 1),
                  static_cast<int8_t>(static_cast<int>(shifted % 3) - 1)};
    }
    return out;
}
constexpr std::array<Triple, kIndicesEnd> kTriples = make_triples();

class Tl2 final : public TernaryMatrix {
  public:
    Tl2(Shape shape, ReadAt read, const Tile& tile)
        : TernaryMatrix(shape, std::move(read), tile.rows, ScalesPer::kMatrix),
          tile_(tile),
          sections_(shape, tile.columns) {}

    // The scale, and the zeros between the codes and it.
    Result<void> read_end() {
        const uint64_t scale_at = tl2_scale_at(shape());
        if (sections_.end > scale_at) {
            return unsupported("tile columns of " + std::to_string(tile_.columns) + " leave " +
                               std::to_string(sections_.pair_columns) +
                               " columns as pairs; TL2 files have room for 256");
        }
        for (uint64_t at = sections_.end; at < scale_at; at += kPaddingChunkBytes) {
            const uint64_t bytes = std::min(kPaddingChunkBytes, scale_at - at);
            BITNETD_ASSIGN(const std::byte* padding, fetch(at, bytes, buffer_));
            if (std::any_of(padding, padding + bytes,
                            [](std::byte b) { return b != std::byte{}; })) {
                return invalid(
                    "its padding holds something other than zeros; the tile sizes may "
                    "be others");
            }
        }
        BITNETD_ASSIGN(scale_, fetch_scale(scale_at));
        return {};
    }

  protected:
    Result<void> decode(uint64_t first, uint64_t count, std::span<int8_t> digits,
                        std::span<float> scales) override {
        scales[0] = scale_;
        for (uint64_t done = 0; done < count; done += tile_.rows) {
            const auto band = digits.subspan(done * shape().columns, tile_.rows * shape().columns);
            BITNETD_TRY(decode_indices(first + done, band));
            BITNETD_TRY(decode_signs(first + done, band));
            BITNETD_TRY(decode_pairs(first + done, band));
        }
        return {};
    }

  private:
    // Nibbles, the earlier triple in the upper one: 32 rows of two triples in 32 bytes.
    Result<void> decode_indices(uint64_t band_row, std::span<int8_t> digits) {
        const uint64_t k3 = sections_.triple_columns;
        BITNETD_ASSIGN(const std::byte* at, fetch(band_row * k3 / 6, tile_.rows * k3 / 6, buffer_));
        for (uint64_t column = 0; column < k3; column += tile_.columns) {
            for (uint64_t row = 0; row < tile_.rows; row += kGroupRows) {
                for (uint64_t c = column; c < column + tile_.columns; c += 6, at += kGroupRows) {
                    for (uint64_t i = 0; i < kGroupRows; ++i) {
                        const uint64_t r = row + row_of_byte(i);
                        const unsigned byte = byte_at(at, i);
                        const unsigned high = high_nibble(byte);
                        const unsigned low = low_nibble(byte);
                        if (high >= kIndicesEnd || low >= kIndicesEnd) {
                            const bool first_bad = high >= kIndicesEnd;
                            return bad_code("index", first_bad ? high : low, kIndicesEnd - 1,
                                            band_row + r, first_bad ? c : c + 3);
                        }
                        int8_t* out = digits.data() + r * shape().columns + c;
                        std::copy_n(kTriples[high].data(), 3, out);
                        std::copy_n(kTriples[low].data(), 3, out + 3);
                    }
                }
            }
        }
        return {};
    }

    // Sixteen words of sixteen bits hold the signs of 32 rows and eight triples: word w has rows w
    // and w + 16 in turns, the first triple's in the top bits.
    Result<void> decode_signs(uint64_t band_row, std::span<int8_t> digits) {
        const uint64_t k3 = sections_.triple_columns;
        BITNETD_ASSIGN(const std::byte* at, fetch(sections_.signs_at + band_row * k3 / 24,
                                                  tile_.rows * k3 / 24, buffer_));
        for (uint64_t column = 0; column < k3; column += tile_.columns) {
            for (uint64_t row = 0; row < tile_.rows; row += kGroupRows) {
                for (uint64_t c = column; c < column + tile_.columns; c += 24, at += kGroupRows) {
                    for (uint64_t i = 0; i < 16 * 16; ++i) {
                        const unsigned word = load<uint16_t>(at + i / 16 * 2);
                        if ((word >> (15 - i % 16) & 1) == 0) continue;
                        const uint64_t r = row + i % 2 * 16 + i / 16;
                        BITNETD_TRY(negate(band_row, r, c + i % 16 / 2 * 3, digits));
                    }
                }
            }
        }
        return {};
    }

    Result<void> negate(uint64_t band_row, uint64_t r, uint64_t c, std::span<int8_t> digits) {
        int8_t* out = digits.data() + r * shape().columns + c;
        if (out[0] == 0 && out[1] == 0 && out[2] == 0) {
            return invalid(place(band_row + r, c) +
                           ": three zeros with a minus sign; the tile sizes may be others");
        }
        for (size_t i = 0; i < 3; ++i)
            out[i] = static_cast<int8_t>(-out[i]);
        return {};
    }

    // Nibbles, the earlier pair in the upper one: 32 rows of two pairs in 32 bytes.
    Result<void> decode_pairs(uint64_t band_row, std::span<int8_t> digits) {
        const uint64_t k2 = sections_.pair_columns;
        BITNETD_ASSIGN(const std::byte* at,
                       fetch(sections_.pairs_at + band_row * k2 / 4, tile_.rows * k2 / 4, buffer_));
        for (uint64_t column = sections_.triple_columns; column < shape().columns;
             column += kPairTileColumns) {
            for (uint64_t row = 0; row < tile_.rows; row += kGroupRows) {
                for (uint64_t i = 0; i < kGroupRows * kPairTileColumns / 4; ++i, ++at) {
                    const uint64_t r = row + row_of_byte(i % kGroupRows);
                    const uint64_t c = column + i / kGroupRows * 4;
                    BITNETD_TRY(decode_two_pairs(byte_at(at, 0), band_row, r, c, digits));
                }
            }
        }
        return {};
    }

    Result<void> decode_two_pairs(unsigned byte, uint64_t band_row, uint64_t r, uint64_t c,
                                  std::span<int8_t> digits) {
        int8_t* out = digits.data() + r * shape().columns + c;
        for (const unsigned code : {high_nibble(byte), low_nibble(byte)}) {
            if (code >= kPairCodesEnd) {
                return bad_code("pair code", code, kPairCodesEnd - 1, band_row + r, c);
            }
            *out++ = static_cast<int8_t>(static_cast<int>(code / 3) - 1);
            *out++ = static_cast<int8_t>(static_cast<int>(code % 3) - 1);
            c += 2;
        }
        return {};
    }

    static Error bad_code(std::string_view what, unsigned code, unsigned max, uint64_t row,
                          uint64_t column) {
        return invalid(place(row, column) + ": " + std::string(what) + " " + std::to_string(code) +
                       " is above " + std::to_string(max) + "; the tile sizes may be others");
    }

    Tile tile_;
    Tl2Sections sections_;
    float scale_ = 0;
    std::vector<std::byte> buffer_;
};

}  // namespace

OpenedTernary open_tl2(Shape shape, ReadAt read, const TernaryOptions& options) {
    BITNETD_ASSIGN(const Tile tile, find_tile(Type::kTL2, shape, options.tiles));
    auto matrix = std::make_unique<Tl2>(shape, std::move(read), tile);
    BITNETD_TRY(matrix->read_end());
    return OpenedTernary(std::move(matrix));
}

}  // namespace bitnetd::quant
