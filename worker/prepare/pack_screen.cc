#include "worker/prepare/pack_screen.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "common/quant/half.h"
#include "worker/kernels/block_pack.h"

namespace bitnetd::worker {
namespace {

constexpr size_t kUnit = kScreenUnit;
// Sums run in this many parts side by side, so that the compiler makes vectors of them.
constexpr size_t kParts = 8;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

float rounded_up(double value) {
    return std::nextafter(static_cast<float>(value), kInfinity);
}

// std::round() for |x| < 2^22, without a call: halves away from zero.
float round_small(float x) {
    constexpr float kBelowHalf = 0x1.fffffep-2f;
    return static_cast<float>(static_cast<int32_t>(x + std::copysign(kBelowHalf, x)));
}

float largest_of(const float* unit) {
    float parts[kParts] = {};
    for (size_t t = 0; t < kUnit; t += kParts) {
        for (size_t i = 0; i < kParts; ++i)
            parts[i] = std::max(parts[i], std::fabs(unit[t + i]));
    }
    return *std::max_element(parts, parts + kParts);
}

// What the numbers of a row lose and hold, as sums of squares.
struct Squares {
    double error[kParts] = {};
    double norm[kParts] = {};

    void add(const float* unit, const float* held) {
        for (size_t t = 0; t < kUnit; t += kParts) {
            for (size_t i = 0; i < kParts; ++i) {
                const double value = held[t + i];
                const double rest = static_cast<double>(unit[t + i]) - value;
                error[i] += rest * rest;
                norm[i] += value * value;
            }
        }
    }
};

double sum_of(const double (&parts)[kParts]) {
    double sum = 0;
    for (const double part : parts)
        sum += part;
    return sum;
}

// One unit as Q8_0 has it: d is rounded after the values were divided by it. Returns the half d.
uint16_t encode_unit(const float* unit, int8_t* codes, float* held) {
    const float d = largest_of(unit) / 127.0f;
    const float inverse = d > 0 && std::isfinite(1.0f / d) ? 1.0f / d : 0.0f;
    const uint16_t half = quant::float_to_half(d);
    const float factor = quant::half_to_float(half);
    for (size_t t = 0; t < kUnit; ++t) {
        const float q = round_small(unit[t] * inverse);
        codes[t] = static_cast<int8_t>(static_cast<int32_t>(q));
        held[t] = q * factor;
    }
    return half;
}

}  // namespace

ScreenPacker::ScreenPacker(uint64_t columns) {
    numbers_.codes.resize(columns);
    numbers_.d.resize(columns / kUnit);
    numbers_.m.resize(columns / kUnit);
    numbers_.scales.assign(columns / kUnit, 1);
    numbers_.minima.resize(columns / kUnit);
}

void ScreenPacker::pack(std::span<const float> values, uint64_t row, std::byte* codes,
                        std::span<float, 2> errors) {
    errors[0] = errors[1] = kInfinity;
    Squares squares;
    for (size_t at = 0; at < values.size(); at += kUnit) {
        float held[kUnit];
        const uint16_t half = encode_unit(values.data() + at, numbers_.codes.data() + at, held);
        if (!std::isfinite(quant::half_to_float(half))) return;
        numbers_.d[at / kUnit] = half;
        squares.add(values.data() + at, held);
    }
    kernels::pack_block_row(kScreenFormat, numbers_, static_cast<int64_t>(row),
                            reinterpret_cast<uint8_t*>(codes));
    errors[0] = rounded_up(std::sqrt(sum_of(squares.error)));
    errors[1] = rounded_up(std::sqrt(sum_of(squares.norm)));
}

}  // namespace bitnetd::worker
