#include "worker/prepare/rope_table.h"

#include <cmath>
#include <string>
#include <vector>

#include "common/base/check.h"
#include "common/base/portable_math.h"

namespace bitnetd::worker {
namespace {

// The angle by which each pair turns from one position to the next.
Result<std::vector<double>> angle_steps(const Hyperparameters& model,
                                        std::span<const float> factors) {
    std::vector<double> steps(model.rope_dims / 2);
    for (size_t pair = 0; pair < steps.size(); ++pair) {
        const double exponent = -2.0 * static_cast<double>(pair) / model.rope_dims;
        const double factor = factors.empty() ? 1 : static_cast<double>(factors[pair]);
        if (!(factor > 0)) {
            return invalid("tensor rope_freqs.weight: factor " + std::to_string(pair) + " is " +
                           std::to_string(factor) + "; expected a number above 0");
        }
        steps[pair] = portable::pow(model.rope_base, exponent) * model.rope_angle_factor / factor;
    }
    return steps;
}

}  // namespace

Result<void> fill_rope_table(const Hyperparameters& model, std::span<const float> factors,
                             std::span<float> out) {
    const size_t pairs = model.rope_dims / 2;
    BITNETD_CHECK(factors.empty() || factors.size() == pairs);
    BITNETD_CHECK(out.size_bytes() == model.rope_table_bytes());
    BITNETD_ASSIGN(const std::vector<double> steps, angle_steps(model, factors));
    for (uint32_t position = 0; position < model.context; ++position) {
        float* row = out.data() + size_t{position} * model.rope_dims;
        for (size_t pair = 0; pair < pairs; ++pair) {
            const double angle = position * steps[pair];
            row[pair] = static_cast<float>(portable::cos(angle));
            row[pairs + pair] = static_cast<float>(portable::sin(angle));
            if (std::isfinite(row[pair]) && std::isfinite(row[pairs + pair])) continue;
            return invalid("the rotary angle of position " + std::to_string(position) +
                           " and pair " + std::to_string(pair) + " is too large");
        }
    }
    return {};
}

}  // namespace bitnetd::worker
