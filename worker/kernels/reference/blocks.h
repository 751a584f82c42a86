// The block kernels as plain loops over single elements (block_format.h has the layout).
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "worker/kernels/exp_poly.h"
#include "worker/kernels/kernel_api.h"
#include "worker/kernels/reference/half.h"

namespace bitnetd::kernels::reference {
namespace {

constexpr int32_t kBlock = kTileColumns;

// One row of a packed matrix.
class BlockRowView {
  public:
    BlockRowView(BlockFormat format, int64_t k, const uint8_t* w, int64_t row)
        : layout_(layout_of(format)),
          stripe_(w + row / kStripeRows * stripe_bytes(format, k)),
          lane_(row % kStripeRows) {}

    // Of element t.
    int32_t code(int64_t t) const {
        const int64_t c = t % kTileColumns;
        const uint8_t* tile =
            unit(t) + layout_.codes_at() + t % layout_.unit / kTileColumns * layout_.tile_bytes();
        const int64_t column = layout_.code_bits == 8 ? c : c % 16;
        const int32_t byte = tile[column / 4 * 4 * kStripeRows + lane_ * 4 + column % 4];
        const int32_t stored = layout_.code_bits == 8 ? byte : c < 16 ? byte & 15 : byte >> 4;
        return stored - layout_.bias;
    }
    float factor(int64_t t) const { return half(t, 0) * small(t, layout_.scales_at()); }
    float offset(int64_t t) const {
        return half(t, layout_.m_at()) * small(t, layout_.minima_at());
    }
    float value(int64_t t) const {
        const float product = factor(t) * static_cast<float>(code(t));
        return layout_.has_offsets ? product + offset(t) : product;
    }

  private:
    const uint8_t* unit(int64_t t) const {
        return stripe_ + t / layout_.unit * layout_.unit_bytes();
    }
    float half(int64_t t, int64_t at) const {
        uint16_t bits = 0;
        std::memcpy(&bits, unit(t) + at + 2 * lane_, sizeof bits);
        return half_to_float(bits);
    }
    float small(int64_t t, int64_t at) const {
        if (!layout_.has_scales()) return 1.0f;
        const int64_t group = t % layout_.unit / layout_.group;
        return static_cast<int8_t>(unit(t)[at + group * kStripeRows + lane_]);
    }

    const BlockLayout& layout_;
    const uint8_t* stripe_;
    int64_t lane_;
};

// To nearest, ties to even, within +-127 (which NaN becomes too).
int8_t quantise(float value, float scale) {
    float q = value * scale;
    q = q > -127.0f ? q : -127.0f;
    q = q < 127.0f ? q : 127.0f;
    return static_cast<int8_t>((q + kRound) - kRound);
}

// Numbers that share a factor, which is returned: the largest magnitude becomes 127.
float quantise_group(int32_t count, const float* x, int8_t* q) {
    float largest = 0.0f;
    for (int32_t t = 0; t < count; ++t)
        largest = std::fabs(x[t]) > largest ? std::fabs(x[t]) : largest;
    const bool none = largest < kBlockFloor;
    const float scale = none ? 0.0f : 127.0f / largest;
    float factor = none ? 0.0f : largest / 127.0f;
    for (int32_t t = 0; t < count; ++t)
        factor += x[t] * 0.0f;  // NaN from an infinity or NaN
    for (int32_t t = 0; t < count; ++t)
        q[t] = quantise(x[t], scale);
    return factor;
}

// One block of 32.
void quantise_block(const float* x, int8_t* q, float* d, int32_t* q_sum) {
    *d = quantise_group(kBlock, x, q);
    q_sum[0] = 0;
    q_sum[1] = 0;
    for (int32_t t = 0; t < kBlock; ++t)
        q_sum[t / 16] += q[t];
}

void quantise_blocks(int32_t m, int32_t k, const float* x, int64_t x_stride, int8_t* q, float* d,
                     int32_t* q_sum) noexcept {
    const int64_t blocks = k / kBlock;
    for (int64_t i = 0; i < m; ++i) {
        for (int64_t b = 0; b < blocks; ++b) {
            const int64_t at = i * blocks + b;
            quantise_block(x + i * x_stride + b * kBlock, q + at * kBlock, d + at, q_sum + 2 * at);
        }
    }
}

void block_gemm(BlockFormat format, int32_t m, int32_t n, int32_t k, const int8_t* q,
                const float* d, const int32_t* q_sum, const uint8_t* w, float* y,
                int64_t y_stride) noexcept {
    const BlockLayout& layout = layout_of(format);
    for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < n; ++j) {
            const BlockRowView row(format, k, w, j);
            float acc = 0.0f;
            for (int64_t begin = 0; begin < k; begin += layout.group) {
                int32_t dot = 0;
                int32_t sum = 0;
                for (int64_t t = begin; t < begin + layout.group; ++t) {
                    dot += q[i * k + t] * row.code(t);
                    if (t % 16 == 0) sum += q_sum[(i * k + t) / 16];
                }
                const float scale = d[(i * k + begin) / kBlock];
                acc = std::fma(static_cast<float>(dot), row.factor(begin) * scale, acc);
                if (!layout.has_offsets) continue;
                acc = std::fma(static_cast<float>(sum), row.offset(begin) * scale, acc);
            }
            y[i * y_stride + j] = acc;
        }
    }
}

void block_matmul(BlockFormat format, int32_t m, int32_t n, int32_t k, const float* x,
                  const uint8_t* w, float* y, int64_t y_stride) noexcept {
    for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < n; ++j) {
            const BlockRowView row(format, k, w, j);
            float s[4] = {};
            for (int64_t t = 0; t < k; ++t)
                s[t % 4] = std::fma(x[i * k + t], row.value(t), s[t % 4]);
            y[i * y_stride + j] = (s[0] + s[1]) + (s[2] + s[3]);
        }
    }
}

void block_row(BlockFormat format, int32_t k, const uint8_t* w, int64_t j, float* y) noexcept {
    const BlockRowView row(format, k, w, j);
    for (int64_t t = 0; t < k; ++t)
        y[t] = row.value(t);
}

}  // namespace
}  // namespace bitnetd::kernels::reference
