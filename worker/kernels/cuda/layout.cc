#include "worker/kernels/cuda/layout.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "worker/kernels/kernel_api.h"

namespace bitnetd::kernels::cuda {
namespace {

static_assert(kTernaryTileColumns * ternary_tiles(1) == kTernaryBlock);

constexpr int32_t kThreadColumns = 32;  // of a tile's row, with one lane
constexpr int32_t kLaneWords = 4;

int64_t value_bytes(MatrixKind kind) {
    return kind == MatrixKind::kF32 ? 4 : 2;
}

int64_t rounded_up(int64_t value, int64_t to) {
    return (value + to - 1) / to * to;
}

// Codes of a packed row, a byte each.
void unpack_codes(const std::byte* packed, int64_t columns, uint8_t* codes) {
    for (int64_t block = 0; block < columns / kTernaryBlock; ++block) {
        for (int64_t quarter = 0; quarter < 4; ++quarter) {
            for (int64_t p = 0; p < kTernaryBlockBytes; ++p) {
                const auto byte = static_cast<uint8_t>(packed[block * kTernaryBlockBytes + p]);
                codes[block * kTernaryBlock + quarter * kTernaryBlockBytes + p] =
                    (byte >> (2 * quarter)) & 3;
            }
        }
    }
}

void pack_codes(const uint8_t* codes, int64_t columns, std::byte* packed) {
    std::fill_n(packed, columns / 4, std::byte{0});
    for (int64_t t = 0; t < columns; ++t) {
        const int64_t in_block = t % kTernaryBlock;
        packed[t / kTernaryBlock * kTernaryBlockBytes + in_block % kTernaryBlockBytes] |=
            static_cast<std::byte>(codes[t] << (in_block / kTernaryBlockBytes * 2));
    }
}

// Where the words of one row of a tile lie: of lane 4g + t the words i = g8 and i = g8 + 2.
struct RowWords {
    int64_t first;  // word of lane 4g, in words from the tile's start
    explicit RowWords(int64_t row) : first(row % 8 * 4 * kLaneWords + row / 8) {}
    int64_t of(int64_t t, int64_t odd) const { return first + t * kLaneWords + 2 * odd; }
};

void row_into_tile(const uint8_t* codes, int64_t row, uint32_t* tile) {
    const RowWords words(row);
    for (int64_t t = 0; t < 4; ++t) {
        uint32_t chunks[8];
        std::memcpy(chunks, codes + t * kThreadColumns, sizeof chunks);
        for (int64_t odd = 0; odd < 2; ++odd) {
            tile[words.of(t, odd)] =
                chunks[odd] | chunks[odd + 2] << 2 | chunks[odd + 4] << 4 | chunks[odd + 6] << 6;
        }
    }
}

void row_from_tile(const uint32_t* tile, int64_t row, uint8_t* codes) {
    const RowWords words(row);
    for (int64_t t = 0; t < 4; ++t) {
        for (int64_t chunk = 0; chunk < 8; ++chunk) {
            const uint32_t four = tile[words.of(t, chunk % 2)] >> chunk / 2 * 2 & 0x03030303u;
            std::memcpy(codes + t * kThreadColumns + chunk * 4, &four, sizeof four);
        }
    }
}

int64_t padded_columns(const HostMatrix& matrix) {
    return ternary_padded(matrix.columns);
}

void lay_out_ternary(const HostMatrix& matrix, int64_t first, int64_t count, std::byte* out) {
    const int64_t columns = padded_columns(matrix);
    const int64_t tiles = columns / kTernaryTileColumns;
    std::vector<uint8_t> codes(static_cast<size_t>(columns));
    std::vector<uint32_t> group(static_cast<size_t>(tiles * kTernaryTileBytes / 4));
    for (int64_t row = first; row < first + count; row += kTileRows) {
        std::fill(group.begin(), group.end(), 0x55555555u);  // rows beyond the last: weight 0
        for (int64_t i = 0; i < std::min<int64_t>(kTileRows, first + count - row); ++i) {
            unpack_codes(matrix.data + (row + i) * columns / 4, columns, codes.data());
            for (int64_t tile = 0; tile < tiles; ++tile) {
                row_into_tile(codes.data() + tile * kTernaryTileColumns, i,
                              group.data() + tile * kTernaryTileBytes / 4);
            }
        }
        std::memcpy(out, group.data(), group.size() * sizeof group[0]);
        out += group.size() * sizeof group[0];
    }
}

void take_back_ternary(const HostMatrix& shape, const std::byte* device, std::byte* out) {
    const int64_t columns = padded_columns(shape);
    std::vector<uint8_t> codes(static_cast<size_t>(columns));
    std::vector<uint32_t> tile(kTernaryTileBytes / 4);
    for (int64_t row = 0; row < shape.rows; ++row) {
        const std::byte* group = device + row / kTileRows * kTileRows * columns / 4;
        for (int64_t at = 0; at < columns; at += kTernaryTileColumns) {
            std::memcpy(tile.data(), group + at * kTileRows / 4, kTernaryTileBytes);
            row_from_tile(tile.data(), row % kTileRows, codes.data() + at);
        }
        pack_codes(codes.data(), columns, out + row * columns / 4);
    }
}

}  // namespace

int64_t device_bytes(const HostMatrix& matrix, int64_t count) {
    switch (matrix.kind) {
        case MatrixKind::kTernary:
            return rounded_up(count, kTileRows) * padded_columns(matrix) / 4;
        case MatrixKind::kBlocks:
            return block_matrix_bytes(matrix.block_format, count, matrix.columns);
        case MatrixKind::kF32:
        case MatrixKind::kF16:
        case MatrixKind::kBf16:
            return count * matrix.columns * value_bytes(matrix.kind);
    }
    return 0;
}

void lay_out(const HostMatrix& matrix, int64_t first, int64_t count, std::byte* out) {
    if (matrix.kind == MatrixKind::kTernary) return lay_out_ternary(matrix, first, count, out);
    const int64_t begin = device_bytes(matrix, first);
    const int64_t end = device_bytes(matrix, first + count);
    std::memcpy(out, matrix.data + begin, static_cast<size_t>(end - begin));
}

void take_back(const HostMatrix& shape, const std::byte* device, std::byte* out) {
    if (shape.kind == MatrixKind::kTernary) return take_back_ternary(shape, device, out);
    std::memcpy(out, device, static_cast<size_t>(device_bytes(shape, shape.rows)));
}

}  // namespace bitnetd::kernels::cuda
