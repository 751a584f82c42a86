#include "worker/prepare/rope_table.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "common/base/check.h"
#include "common/base/portable_math.h"

namespace bitnetd::worker {
namespace {

// YaRN keeps the angles of fast pairs, divides those of slow ones by the factor, and goes from one
// to the other along a ramp over the pairs between.
class YarnRamp {
  public:
    explicit YarnRamp(const RopeTable& table) {
        low_ = std::max(0.0, std::floor(pair_of(table, table.scaling.beta_fast)));
        high_ = std::min(table.rope_dims - 1.0, std::ceil(pair_of(table, table.scaling.beta_slow)));
    }

    // 1 for a pair whose angle stays, 0 for one that is divided.
    double kept(size_t pair) const {
        const double way = (static_cast<double>(pair) - low_) / std::max(0.001, high_ - low_);
        return 1 - std::clamp(way, 0.0, 1.0);
    }

  private:
    // The pair that turns `beta` times within the original context.
    static double pair_of(const RopeTable& table, double beta) {
        constexpr double kTwoPi = 6.283185307179586;
        return table.rope_dims * portable::log(table.scaling.original_context / (beta * kTwoPi)) /
               (2 * portable::log(table.base));
    }

    double low_ = 0;
    double high_ = 0;
};

double scaled(const RopeTable& table, size_t pair, double step) {
    const RopeScaling& scaling = table.scaling;
    switch (scaling.type) {
        case RopeScaling::Type::kNone:
            return step;
        case RopeScaling::Type::kLinear:
            return step / scaling.factor;
        case RopeScaling::Type::kYarn: {
            const double kept = YarnRamp(table).kept(pair) * scaling.ext_factor;
            return step / scaling.factor * (1 - kept) + step * kept;
        }
    }
    return step;
}

// What cosines and sines are multiplied by.
double magnitude(const RopeScaling& scaling) {
    if (scaling.type != RopeScaling::Type::kYarn) return 1;
    if (scaling.ext_factor == 0) return scaling.attn_factor;
    return scaling.attn_factor * (1 + 0.1 * portable::log(scaling.factor));
}

// The angle by which each pair turns from one position to the next.
Result<std::vector<double>> angle_steps(const RopeTable& table) {
    std::vector<double> steps(table.rope_dims / 2);
    for (size_t pair = 0; pair < steps.size(); ++pair) {
        const double exponent = -2.0 * static_cast<double>(pair) / table.rope_dims;
        const double factor = table.factors.empty() ? 1 : static_cast<double>(table.factors[pair]);
        if (!(factor > 0)) {
            return invalid("tensor rope_freqs.weight: factor " + std::to_string(pair) + " is " +
                           std::to_string(factor) + "; expected a number above 0");
        }
        steps[pair] = scaled(table, pair, portable::pow(table.base, exponent) / factor);
    }
    return steps;
}

}  // namespace

Result<void> fill_rope_table(const RopeTable& table, uint32_t first, std::span<float> out) {
    const size_t pairs = table.rope_dims / 2;
    BITNETD_CHECK(table.factors.empty() || table.factors.size() == pairs);
    const size_t positions = out.size() / table.rope_dims;
    BITNETD_CHECK(out.size() == positions * table.rope_dims);
    BITNETD_CHECK(positions <= table.context && first <= table.context - positions);
    BITNETD_ASSIGN(const std::vector<double> steps, angle_steps(table));
    const double length = magnitude(table.scaling);
    for (uint32_t position = first; position < first + positions; ++position) {
        float* row = out.data() + size_t{position - first} * table.rope_dims;
        for (size_t pair = 0; pair < pairs; ++pair) {
            const double angle = position * steps[pair];
            row[pair] = static_cast<float>(length * portable::cos(angle));
            row[pairs + pair] = static_cast<float>(length * portable::sin(angle));
            if (std::isfinite(row[pair]) && std::isfinite(row[pairs + pair])) continue;
            return invalid("the rotary angle of position " + std::to_string(position) +
                           " and pair " + std::to_string(pair) + " is too large");
        }
    }
    return {};
}

}  // namespace bitnetd::worker
