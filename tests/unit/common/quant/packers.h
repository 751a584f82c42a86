// Packs ternary matrices byte by byte as the formats' descriptions number them: element -> byte and
// bits. Written the other way round from the decoders, which walk the bytes, so that both cannot
// share a mistake of order.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <vector>

#include "common/quant/half.h"
#include "common/quant/quant_types.h"
#include "common/quant/tiles.h"

namespace bitnetd::quant::testing {

using Bytes = std::vector<std::byte>;

// Digits [rows][columns].
struct Matrix {
    Shape shape;
    std::vector<int8_t> digits;

    int at(uint64_t row, uint64_t column) const {
        return digits[static_cast<size_t>(row * shape.columns + column)];
    }
    unsigned code(uint64_t row, uint64_t column) const {
        return static_cast<unsigned>(at(row, column) + 1);
    }
    unsigned pair(uint64_t row, uint64_t column) const {
        return static_cast<unsigned>(3 * at(row, column) + at(row, column + 1) + 4);
    }
};

// The weights of the published vectors: a linear congruence, seed 1, row-major.
inline Matrix published_weights(Shape shape) {
    Matrix matrix{shape, {}};
    uint32_t state = 1;
    matrix.digits.resize(static_cast<size_t>(shape.rows * shape.columns));
    for (int8_t& digit : matrix.digits) {
        state = state * 1664525u + 1013904223u;
        digit = static_cast<int8_t>(static_cast<int>((state >> 16) % 3) - 1);
    }
    return matrix;
}

// CRC-32 of zlib and PNG.
inline uint32_t crc32(std::span<const std::byte> bytes) {
    static const auto table = [] {
        std::array<uint32_t, 256> out{};
        for (uint32_t i = 0; i < 256; ++i) {
            uint32_t value = i;
            for (int bit = 0; bit < 8; ++bit)
                value = (value & 1) != 0 ? 0xEDB88320u ^ value >> 1 : value >> 1;
            out[i] = value;
        }
        return out;
    }();
    uint32_t crc = 0xFFFFFFFFu;
    for (const std::byte byte : bytes)
        crc = table[(crc ^ std::to_integer<uint32_t>(byte)) & 255] ^ crc >> 8;
    return ~crc;
}

inline void put(Bytes& bytes, uint64_t at, unsigned bits) {
    bytes.at(static_cast<size_t>(at)) |= static_cast<std::byte>(bits);
}
template <typename T>
void put_value(Bytes& bytes, uint64_t at, T value) {
    std::memcpy(&bytes.at(static_cast<size_t>(at)), &value, sizeof value);
}

// Flat blocks of `elements`, `elements` / 4 bytes each; 4 is the sequential arrangement. No tail.
inline Bytes pack_i2_s(const Matrix& m, uint64_t elements) {
    Bytes out(m.digits.size() / 4);
    const uint64_t part = elements / 4;
    for (uint64_t e = 0; e < m.digits.size(); ++e) {
        const unsigned code = static_cast<unsigned>(m.digits[static_cast<size_t>(e)] + 1);
        const uint64_t in_block = e % elements;
        put(out, part * (e / elements) + in_block % part, code << (6 - 2 * (in_block / part)));
    }
    return out;
}

inline Bytes pack_tl1(const Matrix& m, const Tile& t) {
    const uint64_t k = m.shape.columns;
    const uint64_t by = 256 / t.group_rows;
    Bytes out(static_cast<size_t>(m.shape.rows * k / 4));
    for (uint64_t row = 0; row < m.shape.rows; ++row) {
        const uint64_t r = row % t.rows;
        const uint64_t ri = r % t.group_rows;
        for (uint64_t u = 0; u < k / 2; ++u) {
            const uint64_t in_tile = u % (t.columns / 2);
            const uint64_t uj = in_tile % (by / 2);
            const uint64_t byte =
                row / t.rows * t.rows * k / 4 + u / (t.columns / 2) * t.rows * t.columns / 4 +
                r / t.group_rows * t.group_rows * t.columns / 4 + in_tile / (by / 2) * 64 +
                ri / 16 * (by / 4 * 16) + uj / 2 * 16 + ri % 16;
            put(out, byte, m.pair(row, 2 * u) << (uj % 2 == 0 ? 4 : 0));
        }
    }
    return out;
}

// The codes alone; the padding and the scale are add_tl2_end()'s.
inline Bytes pack_tl2(const Matrix& m, const Tile& t) {
    const uint64_t k3 = m.shape.columns / t.columns * t.columns;
    const uint64_t k2 = m.shape.columns - k3;
    const uint64_t rows = m.shape.rows;
    constexpr uint64_t kOrder[] = {0, 2, 1, 3};
    Bytes out(static_cast<size_t>(rows * k3 * 5 / 24 + rows * k2 / 4));
    for (uint64_t row = 0; row < rows; ++row) {
        const uint64_t band = row / t.rows;
        const uint64_t rb = row % t.rows / 32;
        const uint64_t ri = row % t.rows % 32;
        const uint64_t place = 8 * kOrder[ri / 8] + ri % 8;
        for (uint64_t triple = 0; triple < k3 / 3; ++triple) {
            const int v = 9 * m.at(row, 3 * triple) + 3 * m.at(row, 3 * triple + 1) +
                          m.at(row, 3 * triple + 2);
            const uint64_t kb = triple / (t.columns / 3);
            const uint64_t in = triple % (t.columns / 3);
            put(out,
                band * t.rows * k3 / 6 + kb * t.rows * t.columns / 6 + rb * 32 * t.columns / 6 +
                    in / 2 * 32 + place,
                static_cast<unsigned>(v < 0 ? -v : v) << (in % 2 == 0 ? 4 : 0));
            if (v >= 0) continue;
            const uint64_t bit = 15 - (2 * (in % 8) + ri / 16);
            put(out,
                rows * k3 / 6 + band * t.rows * k3 / 24 + kb * t.rows * t.columns / 24 +
                    rb * 32 * t.columns / 24 + in / 8 * 32 + 2 * (ri % 16) + bit / 8,
                1u << (bit % 8));
        }
        for (uint64_t u = 0; u < k2 / 2; ++u) {
            put(out,
                rows * k3 * 5 / 24 + band * t.rows * k2 / 4 + u / 16 * t.rows * 8 + rb * 256 +
                    u % 16 / 2 * 32 + place,
                m.pair(row, k3 + 2 * u) << (u % 2 == 0 ? 4 : 0));
        }
    }
    return out;
}

// Zeros up to what the writer reserves, then the scale in 32 bytes.
inline Bytes add_tl2_end(Bytes codes, Shape shape, float scale) {
    const uint64_t reserved =
        (shape.columns - 256) * shape.rows / 3 * 5 / 8 + 256 * shape.rows / 2 * 4 / 8;
    const uint64_t scale_at = (reserved + 31) / 32 * 32;
    codes.resize(static_cast<size_t>(scale_at + 32));
    put_value(codes, scale_at, scale);
    return codes;
}

inline Bytes add_tail(Bytes codes, float scale) {
    const size_t at = codes.size();
    codes.resize(at + 32);
    put_value(codes, at, scale);
    return codes;
}

using RowScale = std::function<float(uint64_t row)>;

inline Bytes pack_iq2_bn(const Matrix& m, const RowScale& scale) {
    const uint64_t row_bytes = 4 + m.shape.columns / 4;
    Bytes out(static_cast<size_t>(m.shape.rows * row_bytes));
    for (uint64_t row = 0; row < m.shape.rows; ++row) {
        put_value(out, row * row_bytes, scale(row));
        for (uint64_t c = 0; c < m.shape.columns; ++c) {
            const uint64_t j = c % 64;
            put(out, row * row_bytes + 4 + c / 64 * 16 + j % 16, m.code(row, c) << (2 * (j / 16)));
        }
    }
    return out;
}

inline Bytes pack_iq1_bn(const Matrix& m, const RowScale& scale) {
    constexpr unsigned kPowers[] = {1, 3, 9, 27, 81};
    const uint64_t row_bytes = 2 + m.shape.columns / 64 * 13;
    Bytes out(static_cast<size_t>(m.shape.rows * row_bytes));
    for (uint64_t row = 0; row < m.shape.rows; ++row) {
        put_value(out, row * row_bytes, float_to_half(scale(row)));
        for (uint64_t block = 0; block < m.shape.columns / 64; ++block) {
            unsigned numbers[13] = {};
            for (uint64_t j = 0; j < 64; ++j) {
                const uint64_t g = j / 16;
                const uint64_t p = j % 16;
                const unsigned code = m.code(row, block * 64 + j);
                if (p < 15) numbers[3 * g + p / 5] += code * kPowers[p % 5];
                if (p == 15) numbers[12] += code * kPowers[g];
            }
            for (uint64_t i = 0; i < 13; ++i)
                put(out, row * row_bytes + 2 + block * 13 + i, (256 * numbers[i] + 242) / 243);
        }
    }
    return out;
}

inline Bytes pack_iq2_bn_r4(const Matrix& m, const RowScale& scale) {
    const uint64_t group_bytes = 16 + m.shape.columns;
    Bytes out(static_cast<size_t>(m.shape.rows / 4 * group_bytes));
    for (uint64_t row = 0; row < m.shape.rows; ++row) {
        const uint64_t group = row / 4 * group_bytes;
        const uint64_t k = row % 4;
        put_value(out, group + 4 * k, scale(row));
        for (uint64_t c = 0; c < m.shape.columns; ++c) {
            const uint64_t j = c % 64;
            put(out, group + 16 + c / 64 * 64 + 4 * k + j % 4 + 16 * (j / 16),
                m.code(row, c) << (2 * (j % 16 / 4)));
        }
    }
    return out;
}

inline Bytes pack_u8(const Matrix& m) {
    const uint64_t packed = (m.shape.rows + 3) / 4;
    Bytes out(static_cast<size_t>(packed * m.shape.columns));
    for (uint64_t row = 0; row < m.shape.rows; ++row) {
        for (uint64_t c = 0; c < m.shape.columns; ++c)
            put(out, row % packed * m.shape.columns + c, m.code(row, c) << (2 * (row / packed)));
    }
    return out;
}

}  // namespace bitnetd::quant::testing
