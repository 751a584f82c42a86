#include "worker/sampler/scores.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "common/base/portable_math.h"

namespace bitnetd::worker {
namespace {

// Puts (id, z) into the descending list if it belongs there. Ids come in ascending order, so an
// equal logit goes behind those that are there.
void insert_best(Scores& scores, uint32_t wanted, uint32_t id, float z) {
    uint32_t& count = scores.alternatives_count;
    if (count == wanted && z <= scores.alternatives[count - 1].logprob) return;
    uint32_t place = count < wanted ? count++ : count - 1;
    while (place > 0 && scores.alternatives[place - 1].logprob < z) {
        scores.alternatives[place] = scores.alternatives[place - 1];
        --place;
    }
    scores.alternatives[place] = {id, z};
}

}  // namespace

LogitStats scan_logits(std::span<const float> logits) noexcept {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    constexpr uint32_t kExponent = 0x7f800000;  // all ones: infinity or NaN
    LogitStats stats{true, true, -kInfinity, 0};
    for (uint32_t id = 0; id < logits.size(); ++id) {
        const float z = logits[id];
        if ((std::bit_cast<uint32_t>(z) & kExponent) == kExponent) {
            stats.finite = false;
            if (z != -kInfinity) stats.largest_finite = false;
        }
        if (z > stats.largest) {
            stats.largest = z;
            stats.argmax = id;
        }
    }
    if (stats.largest == -kInfinity) stats.largest_finite = false;
    return stats;
}

void score_token(std::span<const float> logits, float largest, uint32_t token,
                 uint32_t alternatives_count, Scores& scores) noexcept {
    double sum = 0;
    for (const float z : logits)
        sum += portable::exp(static_cast<double>(z) - largest);
    const double log_sum = portable::log(sum);
    const auto logprob = [&](float z) {
        return static_cast<float>(static_cast<double>(z) - largest - log_sum);
    };
    scores.logprob = logprob(logits[token]);
    scores.alternatives_count = 0;
    if (alternatives_count == 0) return;
    const uint32_t wanted = std::min(alternatives_count, static_cast<uint32_t>(logits.size()));
    for (uint32_t id = 0; id < logits.size(); ++id)
        insert_best(scores, wanted, id, logits[id]);
    for (uint32_t i = 0; i < wanted; ++i) {
        scores.alternatives[i].logprob = logprob(scores.alternatives[i].logprob);
    }
}

}  // namespace bitnetd::worker
