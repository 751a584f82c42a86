// Rows of floats rounded to int8 by a block: the kernel table's QuantiseRows and QuantiseBlocks.
//
// A thread takes quads, four neighbouring values; quad thread_index() + i * thread_count(). So it
// reads back only what it wrote itself, and a group of 32 columns is eight neighbouring lanes.
#pragma once

#include "worker/kernels/cuda/block_sums.cuh"
#include "worker/kernels/cuda/numbers.cuh"

namespace bitnetd::kernels::cuda {
namespace {

inline constexpr int32_t kQuad = 4;
inline constexpr int32_t kRowThreadsMax = 512;

struct alignas(16) Quad {
    float value[kQuad];
};

// Where rows of k floats lie; `aligned`: all begin at multiples of 16 bytes.
struct RowShape {
    int32_t k;
    bool aligned;
    explicit RowShape(int32_t columns) : k(columns), aligned(columns % kQuad == 0) {}
};

// Zeros behind the row.
BITNETD_DEVICE Quad load_quad(const float* row, RowShape shape, int32_t quad) {
    const int32_t t = quad * kQuad;
    if (shape.aligned && t < shape.k) return *reinterpret_cast<const Quad*>(row + t);
    Quad values;
    BITNETD_UNROLL
    for (int32_t i = 0; i < kQuad; ++i)
        values.value[i] = t + i < shape.k ? row[t + i] : 0.0f;
    return values;
}

BITNETD_DEVICE void store_quad(float* row, RowShape shape, int32_t quad, const Quad& values) {
    const int32_t t = quad * kQuad;
    BITNETD_UNROLL
    for (int32_t i = 0; i < kQuad; ++i) {
        if (t + i < shape.k) row[t + i] = values.value[i];
    }
}

BITNETD_DEVICE float largest_of(const Quad& quad) {
    float largest = 0.0f;
    BITNETD_UNROLL
    for (int32_t i = 0; i < kQuad; ++i) {
        const float magnitude = magnitude_of(quad.value[i]);
        if (magnitude > largest) largest = magnitude;  // not a NaN
    }
    return largest;
}

// Four codes, and their sum.
struct Codes {
    uint32_t bytes = 0;
    int32_t sum = 0;
    BITNETD_DEVICE Codes(const Quad& quad, float scale) {
        BITNETD_UNROLL
        for (int32_t i = 0; i < kQuad; ++i) {
            const int8_t code = quantised(quad.value[i], scale);
            bytes |= static_cast<uint32_t>(static_cast<uint8_t>(code)) << 8 * i;
            sum += code;
        }
    }
};

// Row `i` of the rounding, from `row`, whose largest magnitude is over the quads of this thread.
BITNETD_DEVICE void round_row(const float* row, RowShape shape, float largest, int64_t i,
                              const Rounded& to) {
    const auto padded = static_cast<int32_t>(ternary_padded(shape.k));
    const double magnitude = over_block(largest, 0.0f, Maximum{});
    const double bounded = magnitude > 1e-5 ? magnitude : 1e-5;
    const auto scale = static_cast<float>(127.0 / bounded);
    auto* const words = reinterpret_cast<uint32_t*>(to.values + i * padded);
    int32_t sum = 0;
    for (int32_t quad = thread_index(); quad < padded / kQuad; quad += thread_count()) {
        const Codes codes(load_quad(row, shape, quad), scale);
        words[quad] = codes.bytes;
        sum += codes.sum;
    }
    sum = over_block(sum, 0, Sum{});
    if (thread_index() == 0) {
        to.scales[i] = scale;
        to.sums[i] = sum;
    }
}

// One quad of a row; eight neighbouring lanes have a group's. `valid`: it is one of the row's.
BITNETD_DEVICE void round_group(const Quad& values, int32_t quad, bool valid, int64_t first_quad,
                                const Rounded& to) {
    constexpr int32_t kGroupQuads = kTileColumns / kQuad;
    constexpr int32_t kSumQuads = 16 / kQuad;
    const float largest = over_lanes<kGroupQuads>(largest_of(values), Maximum{});
    float nan = 0.0f;  // where one is infinite or a NaN
    BITNETD_UNROLL
    for (int32_t i = 0; i < kQuad; ++i)
        nan += values.value[i] * 0.0f;
    nan = over_lanes<kGroupQuads>(nan, Sum{});
    const bool none = largest < kBlockFloor;
    const Codes codes(values, none ? 0.0f : 127.0f / largest);
    const int32_t sum = over_lanes<kSumQuads>(codes.sum, Sum{});
    if (!valid) return;
    const int64_t at = first_quad + quad;
    reinterpret_cast<uint32_t*>(to.values)[at] = codes.bytes;
    if (quad % kSumQuads == 0) to.sums[at / kSumQuads] = sum;
    if (quad % kGroupQuads == 0)
        to.scales[at / kGroupQuads] = (none ? 0.0f : largest / 127.0f) + nan;
}

// Row `i`; k is a multiple of 32.
BITNETD_DEVICE void round_blocks(const float* row, RowShape shape, int64_t i, const Rounded& to) {
    const int32_t quads = shape.k / kQuad;
    for (int32_t first = 0; first < quads; first += thread_count()) {
        const int32_t quad = first + thread_index();
        round_group(load_quad(row, shape, quad), quad, quad < quads, i * quads, to);
    }
}

// Threads for a row of k values: few rounds of at most kRowThreadsMax.
int32_t row_threads(int32_t k) {
    const int32_t quads = divided_up(k, kQuad);
    const int32_t rounds = divided_up(quads, kRowThreadsMax);
    return divided_up(divided_up(quads, rounds), kWarp) * kWarp;
}

}  // namespace
}  // namespace bitnetd::kernels::cuda
