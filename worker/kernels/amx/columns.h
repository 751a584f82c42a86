// Columns of a 16 x 16 matrix of 32-bit words that lies in memory row by row. Both ends of the
// product need them: activations become tiles four neighbouring bytes at a time, and sums come out
// with weight rows where y wants activation rows.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace bitnetd::kernels::amx {
namespace {

struct FourColumns {
    __m512i column[4];  // word j: row j
};

// The 128 bits at `at` and at 4, 8, 12 rows below it.
inline __m512i every_fourth_row(const uint8_t* at, int64_t row_bytes) {
    const auto row = [at, row_bytes](int64_t r) {
        return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at + r * row_bytes));
    };
    __m512i rows = _mm512_castsi128_si512(row(0));
    rows = _mm512_inserti32x4(rows, row(4), 1);
    rows = _mm512_inserti32x4(rows, row(8), 2);
    return _mm512_inserti32x4(rows, row(12), 3);
}

// Columns 4 * group .. 4 * group + 3 of the matrix that begins at `at`.
inline FourColumns four_columns(const void* at, int64_t row_bytes, int group) {
    const uint8_t* first = static_cast<const uint8_t*>(at) + 16 * group;
    const __m512i rows_0 = every_fourth_row(first, row_bytes);
    const __m512i rows_1 = every_fourth_row(first + row_bytes, row_bytes);
    const __m512i rows_2 = every_fourth_row(first + 2 * row_bytes, row_bytes);
    const __m512i rows_3 = every_fourth_row(first + 3 * row_bytes, row_bytes);
    const __m512i low_01 = _mm512_unpacklo_epi32(rows_0, rows_1);
    const __m512i low_23 = _mm512_unpacklo_epi32(rows_2, rows_3);
    const __m512i high_01 = _mm512_unpackhi_epi32(rows_0, rows_1);
    const __m512i high_23 = _mm512_unpackhi_epi32(rows_2, rows_3);
    return {{_mm512_unpacklo_epi64(low_01, low_23), _mm512_unpackhi_epi64(low_01, low_23),
             _mm512_unpacklo_epi64(high_01, high_23), _mm512_unpackhi_epi64(high_01, high_23)}};
}

}  // namespace
}  // namespace bitnetd::kernels::amx
