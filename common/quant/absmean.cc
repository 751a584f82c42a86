#include "common/quant/absmean.h"

#include <algorithm>
#include <cmath>

#include "common/base/check.h"
#include "common/quant/half.h"

namespace bitnetd::quant {

void AbsMean::add(std::span<const float> values) {
    double sum = 0;
    for (const float x : values)
        sum += static_cast<double>(std::fabs(x));
    sum_ += sum;
    count_ += values.size();
}

float AbsMean::value() const {
    BITNETD_CHECK(count_ > 0);
    return std::max(static_cast<float>(sum_ / static_cast<double>(count_)), 1e-5f);
}

void ternarise(std::span<const float> values, float mean, std::span<int8_t> digits) {
    BITNETD_CHECK(values.size() == digits.size());
    const float inverse = 1.0f / mean;
    for (size_t i = 0; i < values.size(); ++i) {
        // A half rounds to the even 0; anything larger to 1 or, clamped, beyond.
        const float x = values[i] * inverse;
        digits[i] = static_cast<int8_t>((x > 0.5f) - (x < -0.5f));
    }
}

float ternary_scale(float mean, Type checkpoint) {
    if (checkpoint == Type::kBF16) return bf16_to_float(float_to_bf16(mean));
    if (checkpoint == Type::kF16) return half_to_float(float_to_half(mean));
    BITNETD_CHECK(checkpoint == Type::kF32);
    return mean;
}

}  // namespace bitnetd::quant
