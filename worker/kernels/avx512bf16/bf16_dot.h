// Products of bfloat16 rows with bfloat16 rows by VDPBF16PS: pairs of products added to a float at
// once, a float class of its own. The contract, down to what the instruction rounds and flushes, is
// at MatmulBf16Dot in kernel_api.h.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "worker/kernels/avx512/f32x16.h"
#include "worker/kernels/lanes/matmul.h"

namespace bitnetd::kernels::avx512bf16 {
namespace {

using avx512::F32x16;

constexpr int32_t kPairs = 32;  // elements of one register

__m512bh load_pairs(const Bf16* at) {
    return reinterpret_cast<__m512bh>(_mm512_loadu_si512(at));
}

__m512bh load_pairs(const Bf16* at, int32_t count) {
    const __mmask32 first = static_cast<__mmask32>((uint64_t{1} << count) - 1);
    return reinterpret_cast<__m512bh>(_mm512_maskz_loadu_epi16(first, at));
}

// acc[j] = the lanes of x times w row j. The N rows of w that come next are prefetched one after
// the other, as in lanes/dots.h.
template <int N>
void dots(const Bf16* x, const Bf16* w, int64_t k, F32x16* acc) {
    __m512 sum[N];
    for (__m512& lanes : sum)
        lanes = _mm512_setzero_ps();
    int64_t t = 0;
    for (; t + kPairs <= k; t += kPairs) {
        const __m512bh row = load_pairs(x + t);
#pragma GCC unroll 4
        for (int j = 0; j < N; ++j) {
            const char* ahead = reinterpret_cast<const char*>(w + N * k) + lanes::kDotPrefetchLead;
            _mm_prefetch(ahead + (t * N + j * kPairs) * int64_t{sizeof(Bf16)}, _MM_HINT_T0);
            sum[j] = _mm512_dpbf16_ps(sum[j], row, load_pairs(w + j * k + t));
        }
    }
    if (t < k) {
        const int32_t tail = static_cast<int32_t>(k - t);
        for (int j = 0; j < N; ++j) {
            sum[j] =
                _mm512_dpbf16_ps(sum[j], load_pairs(x + t, tail), load_pairs(w + j * k + t, tail));
        }
    }
    for (int j = 0; j < N; ++j)
        acc[j] = {sum[j]};
}

// Few rows of x by 8 rows of w, which are read once from memory.
void eight_columns(int32_t rows, int64_t k, const Bf16* x, const Bf16* w, float* y,
                   int64_t y_stride) {
    for (int64_t i = 0; i < rows; ++i) {
        F32x16 acc[8];
        for (int j = 0; j < 8; j += 2)
            dots<2>(x + i * k, w + j * k, k, acc + j);
        lanes::total_8(acc, y + i * y_stride);
    }
}

// Rows of x in fours as the tile below reads them: [row / 4][k / kPairs][row % 4][kPairs], zeros
// behind k. Rows of a power of two bytes would fall on the same few lines of the first cache.
class Panel {
  public:
    // How many rows of k values fit, a multiple of 4; 0 when k is beyond all models.
    static int32_t rows_max(int64_t k) {
        const int64_t fit = kValues / padded(k) / 4 * 4;
        return fit < kRowsMax ? static_cast<int32_t>(fit) : kRowsMax;
    }

    void fill(int32_t rows, int64_t k, const Bf16* x) {
        for (int32_t i = 0; i < rows; ++i) {
            Bf16* to = values_ + i / 4 * 4 * padded(k) + i % 4 * kPairs;
            for (int64_t t = 0; t < k; t += kPairs, to += 4 * kPairs) {
                const __m512bh pairs = k - t < kPairs
                                           ? load_pairs(x + i * k + t, static_cast<int32_t>(k - t))
                                           : load_pairs(x + i * k + t);
                _mm512_store_si512(to, reinterpret_cast<__m512i>(pairs));
            }
        }
    }

    const Bf16* four(int32_t row, int64_t k) const { return values_ + row * padded(k); }

  private:
    static constexpr int64_t kValues = 256 * 1024;  // half of a second cache
    static constexpr int32_t kRowsMax = 64;
    static int64_t padded(int64_t k) { return (k + kPairs - 1) / kPairs * kPairs; }

    alignas(64) Bf16 values_[kValues];
};

// Four rows of a panel by 4 rows of w.
void four_by_four(const Bf16* four, const Bf16* w, int64_t k, float* y, int64_t y_stride) {
    __m512 sum[4][4];
    for (auto& row : sum) {
        for (__m512& lanes : row)
            lanes = _mm512_setzero_ps();
    }
    const auto add = [&](const auto& column_of) {
        __m512bh column[4];
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j)
            column[j] = column_of(j);
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
            const __m512bh row = load_pairs(four + i * kPairs);
#pragma GCC unroll 4
            for (int j = 0; j < 4; ++j)
                sum[i][j] = _mm512_dpbf16_ps(sum[i][j], row, column[j]);
        }
        four += 4 * kPairs;
    };
    int64_t t = 0;
    for (; t + kPairs <= k; t += kPairs)
        add([&](int j) { return load_pairs(w + j * k + t); });
    if (t < k) add([&](int j) { return load_pairs(w + j * k + t, static_cast<int32_t>(k - t)); });
    for (int i = 0; i < 4; i += 2) {
        F32x16 acc[8];
        for (int j = 0; j < 8; ++j)
            acc[j] = {sum[i + j / 4][j % 4]};
        float total[8];
        lanes::total_8(acc, total);
        for (int j = 0; j < 8; ++j)
            y[(i + j / 4) * y_stride + j % 4] = total[j];
    }
}

// A multiple of 4 rows of x by all rows of w; returns how many of w were left over, fewer than 4.
int32_t many_rows(int32_t rows, int32_t n, int64_t k, const Bf16* x, const Bf16* w, float* y,
                  int64_t y_stride) {
    Panel panel;
    const int32_t rows_max = Panel::rows_max(k);
    for (int32_t i = 0; i < rows; i += rows_max) {
        const int32_t here = rows - i < rows_max ? rows - i : rows_max;
        panel.fill(here, k, x + i * k);
        for (int64_t j = 0; j + 4 <= n; j += 4) {
            for (int32_t r = 0; r < here; r += 4) {
                four_by_four(panel.four(r, k), w + j * k, k, y + (i + r) * y_stride + j, y_stride);
            }
        }
    }
    return n % 4;
}

void matmul_bf16_dot(int32_t m, int32_t n, int32_t k, const Bf16* x, const Bf16* w, float* y,
                     int64_t y_stride) noexcept {
    const int32_t fours = Panel::rows_max(k) > 0 ? m / 4 * 4 : 0;
    const int32_t left = fours > 0 ? many_rows(fours, n, k, x, w, y, y_stride) : 0;
    const auto dot = [&](int64_t i, int64_t j) {
        F32x16 acc;
        dots<1>(x + i * k, w + j * k, k, &acc);
        y[i * y_stride + j] = acc.total();
    };
    for (int64_t i = 0; i < fours; ++i) {
        for (int64_t j = n - left; j < n; ++j)
            dot(i, j);
    }
    int64_t j = 0;
    for (; j + 8 <= n; j += 8)
        eight_columns(m - fours, k, x + fours * int64_t{k}, w + j * k, y + fours * y_stride + j,
                      y_stride);
    for (int64_t i = fours; i < m; ++i) {
        for (int64_t last = j; last < n; ++last)
            dot(i, last);
    }
}

}  // namespace
}  // namespace bitnetd::kernels::avx512bf16
