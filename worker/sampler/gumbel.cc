#include "worker/sampler/gumbel.h"

#include <bit>
#include <limits>

#include "common/base/portable_math.h"
#include "worker/sampler/philox.h"

namespace bitnetd::worker {
namespace {

double noise_of(uint32_t word) {
    const double u = (static_cast<double>(word) + 0.5) * 0x1p-32;
    return -portable::log(-portable::log(u));
}

// At least noise_of(word), without a logarithm: -ln u >= 1 - u, so G <= -ln(1 - u), and with w =
// ~word 1 - u = (w + 0.5) / 2^32 >= 2^-(1 + leading zeros of w). The last term covers all rounding.
double noise_bound(uint32_t word) {
    constexpr double kLn2 = 0.6931471805599453;
    return (1 + std::countl_zero(~word)) * kLn2 + 1e-9;
}

PhiloxBlock block_of(uint64_t seed, uint32_t position, uint32_t id) {
    return philox({position, id / 4, 0, 0}, seed);
}

// The best of what was offered. Offers come in any order of ids.
class Best {
  public:
    void offer(double scaled, uint32_t word, uint32_t id) {
        // Nearly every offer ends here: it could not win with the largest noise its word allows.
        if (scaled + noise_bound(word) < value_) return;
        const double value = scaled + noise_of(word);
        if (value > value_ || (value == value_ && id < id_)) {
            value_ = value;
            id_ = id;
        }
    }
    uint32_t id() const { return id_; }

  private:
    double value_ = -std::numeric_limits<double>::infinity();
    uint32_t id_ = std::numeric_limits<uint32_t>::max();
};

}  // namespace

double gumbel_noise(uint64_t seed, uint32_t position, uint32_t id) noexcept {
    return noise_of(block_of(seed, position, id)[id % 4]);
}

uint32_t draw_gumbel(const SamplingParams& params, uint32_t position,
                     std::span<const Candidate> candidates) noexcept {
    Best best;
    for (const Candidate& candidate : candidates) {
        const uint32_t id = candidate.id;
        best.offer(candidate.scaled, block_of(params.seed, position, id)[id % 4], id);
    }
    return best.id();
}

uint32_t draw_gumbel(const SamplingParams& params, uint32_t position, std::span<const float> logits,
                     float largest) noexcept {
    Best best;
    const auto vocab = static_cast<uint32_t>(logits.size());
    for (uint32_t first = 0; first < vocab; first += 4) {
        const PhiloxBlock words = block_of(params.seed, position, first);
        for (uint32_t lane = 0; lane < 4 && first + lane < vocab; ++lane) {
            const uint32_t id = first + lane;
            best.offer(scale_logit(logits[id], largest, params.temperature), words[lane], id);
        }
    }
    return best.id();
}

}  // namespace bitnetd::worker
