#include "worker/sampler/candidates.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "common/base/portable_math.h"

namespace bitnetd::worker {
namespace {

using Candidates = std::vector<Candidate>;

bool ranks_before(const Candidate& a, const Candidate& b) {
    return a.rank != b.rank ? a.rank < b.rank : a.id < b.id;
}

auto at(Candidates& kept, size_t index) {
    return kept.begin() + static_cast<ptrdiff_t>(index);
}

// Puts the `count` best ranked, in order, behind the `sorted` best ones that are in front already.
void sort_next(Candidates& kept, size_t sorted, size_t count) {
    const size_t end = sorted + count;
    if (end < kept.size()) {
        std::nth_element(at(kept, sorted), at(kept, end), kept.end(), ranks_before);
    }
    std::sort(at(kept, sorted), at(kept, end), ranks_before);
}

// Sum of exp(scaled); fills `mass`.
double total_mass(Candidates& kept) {
    double total = 0;
    for (Candidate& candidate : kept) {
        candidate.mass = portable::exp(candidate.scaled);
        total += candidate.mass;
    }
    return total;
}

// Keeps the shortest prefix by rank whose mass reaches (or, `beyond`, exceeds) `wanted`. Sorts in
// growing pieces: nearly always a small one is enough, of however large a vocabulary.
void keep_mass(Candidates& kept, double wanted, bool beyond) {
    double sum = 0;
    size_t piece = 64;
    for (size_t sorted = 0; sorted < kept.size(); piece *= 4) {
        const size_t count = std::min(piece, kept.size() - sorted);
        sort_next(kept, sorted, count);
        for (size_t i = sorted; i < sorted + count; ++i) {
            sum += kept[i].mass;
            if (beyond ? sum > wanted : sum >= wanted) {
                kept.resize(i + 1);
                return;
            }
        }
        sorted += count;
    }
}

// The order that sums run in must not depend on how a selection left its elements.
void sort_by_id(Candidates& kept) {
    std::sort(kept.begin(), kept.end(),
              [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
}

void keep_top_k(Candidates& kept, uint32_t k) {
    if (kept.size() <= k) return;
    for (Candidate& candidate : kept)
        candidate.rank = -candidate.scaled;
    std::nth_element(kept.begin(), at(kept, k), kept.end(), ranks_before);
    kept.resize(k);
    sort_by_id(kept);
}

void keep_typical(Candidates& kept, double typical_p) {
    const double total = total_mass(kept);
    const double log_total = portable::log(total);
    double entropy = 0;
    for (Candidate& candidate : kept) {
        if (candidate.mass == 0) continue;  // the limit of p ln p
        entropy += candidate.mass / total * (log_total - candidate.scaled);
    }
    for (Candidate& candidate : kept) {
        candidate.rank = std::fabs(log_total - candidate.scaled - entropy);
    }
    keep_mass(kept, typical_p * total, /*beyond=*/true);
    sort_by_id(kept);
}

void keep_top_p(Candidates& kept, double top_p) {
    const double total = total_mass(kept);
    for (Candidate& candidate : kept)
        candidate.rank = -candidate.scaled;
    keep_mass(kept, top_p * total, /*beyond=*/false);
}

// What is likely enough for min_p, in the order of the ids.
class LikelyOnes {
  public:
    LikelyOnes(const SamplingParams& params, float largest, Candidates& kept)
        : largest_(largest), temperature_(params.temperature), kept_(kept) {
        if (params.min_p > 0) lowest_ = portable::log(params.min_p);
        kept_.clear();
    }
    void offer(uint32_t id, float logit) {
        const double scaled = scale_logit(logit, largest_, temperature_);
        if (scaled >= lowest_) kept_.push_back({scaled, 0, 0, id});
    }

  private:
    float largest_;
    float temperature_;
    double lowest_ = -std::numeric_limits<double>::infinity();
    Candidates& kept_;
};

void filter_further(const SamplingParams& params, Candidates& kept) {
    if (params.top_k > 0) keep_top_k(kept, params.top_k);
    if (params.typical_p < 1) keep_typical(kept, params.typical_p);
    if (params.top_p < 1) keep_top_p(kept, params.top_p);
}

}  // namespace

bool has_filters(const SamplingParams& params, uint32_t vocab) noexcept {
    return params.min_p > 0 || (params.top_k > 0 && params.top_k < vocab) || params.typical_p < 1 ||
           params.top_p < 1;
}

void filter_candidates(const SamplingParams& params, std::span<const float> logits, float largest,
                       std::vector<Candidate>& kept) noexcept {
    LikelyOnes likely(params, largest, kept);
    for (uint32_t id = 0; id < logits.size(); ++id)
        likely.offer(id, logits[id]);
    filter_further(params, kept);
}

void filter_candidates(const SamplingParams& params, std::span<const TokenLogit> tokens,
                       float largest, std::vector<Candidate>& kept) noexcept {
    LikelyOnes likely(params, largest, kept);
    for (const TokenLogit& token : tokens)
        likely.offer(token.id, token.logit);
    filter_further(params, kept);
}

}  // namespace bitnetd::worker
