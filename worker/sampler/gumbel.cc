#include "worker/sampler/gumbel.h"

#include "worker/sampler/gumbel_noise.h"

namespace bitnetd::worker {

double gumbel_noise(uint64_t seed, uint32_t position, uint32_t id) noexcept {
    return gumbel_of(gumbel_words(seed, position, id)[id % 4]);
}

uint32_t draw_gumbel(const SamplingParams& params, uint32_t position,
                     std::span<const Candidate> candidates) noexcept {
    BestDraw best;
    for (const Candidate& candidate : candidates) {
        const uint32_t id = candidate.id;
        best.offer(candidate.scaled, gumbel_words(params.seed, position, id)[id % 4], id);
    }
    return best.id();
}

uint32_t draw_gumbel(const SamplingParams& params, uint32_t position, std::span<const float> logits,
                     float largest) noexcept {
    BestDraw best;
    const auto vocab = static_cast<uint32_t>(logits.size());
    for (uint32_t first = 0; first < vocab; first += 4) {
        const PhiloxBlock words = gumbel_words(params.seed, position, first);
        for (uint32_t lane = 0; lane < 4 && first + lane < vocab; ++lane) {
            const uint32_t id = first + lane;
            best.offer(scale_logit(logits[id], largest, params.temperature), words[lane], id);
        }
    }
    return best.id();
}

}  // namespace bitnetd::worker
