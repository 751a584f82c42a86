#include "worker/prepare/probe_rows.h"

#include <cmath>
#include <numbers>

#include "common/base/portable_math.h"
#include "worker/sampler/philox.h"

namespace bitnetd::worker {
namespace {

constexpr uint64_t kKey = 0x61636375'72616379;  // any number, but always the same

PhiloxBlock random_block(uint64_t number, uint32_t index, uint32_t purpose) {
    const auto low = static_cast<uint32_t>(number);
    const auto high = static_cast<uint32_t>(number >> 32);
    return philox({low, high, index, purpose}, kKey);
}

// Of 0 < u <= 1 and 0 <= v < 1, by Box and Muller.
float normal(uint32_t a, uint32_t b) {
    const double u = (a + 1.0) * 0x1p-32;
    const double v = b * 0x1p-32;
    return static_cast<float>(std::sqrt(-2 * portable::log(u)) *
                              portable::cos(2 * std::numbers::pi * v));
}

}  // namespace

void fill_probe_row(uint64_t number, std::span<float> row) {
    for (size_t i = 0; i < row.size(); i += 2) {
        const auto random = random_block(number, static_cast<uint32_t>(i / 2), 0);
        row[i] = normal(random[0], random[1]);
        if (i + 1 < row.size()) row[i + 1] = normal(random[2], random[3]);
    }
    for (uint32_t i = 0; i < static_cast<uint32_t>(kOutliersPerRow); ++i) {
        const auto random = random_block(number, i, 1);
        row[random[0] % row.size()] = random[1] % 2 == 0 ? kOutlier : -kOutlier;
    }
}

}  // namespace bitnetd::worker
