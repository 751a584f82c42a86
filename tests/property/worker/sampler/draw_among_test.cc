// Goal: a draw among the largest logits alone gives exactly the token that a draw over all of them
// gives, whatever the parameters that need no more than those.
// Method: random logits with many equal ones, small vocabularies and large ones, random parameters;
// both draws from each, with the largest ones shuffled. Prints its seed.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "worker/sampler/sampler.h"

namespace bitnetd::worker {
namespace {

class Case {
  public:
    explicit Case(uint64_t seed) : random_(seed) {
        logits_.resize(1 + below(below(4) == 0 ? 3000 : 90));
        const double spread = below(3) == 0 ? 0.5 : 8;
        const bool is_coarse = below(2) == 0;  // many are equal then
        std::normal_distribution<double> normal(0, spread);
        for (float& z : logits_) {
            z = static_cast<float>(normal(random_));
            if (is_coarse) z = std::nearbyint(z);
        }
        params_.temperature = below(4) == 0 ? 0 : chance() * 2 + 1e-3f;
        params_.top_k = 1 + below(below(2) == 0 ? 8 : 120);
        if (below(2) == 0) params_.top_p = chance();
        if (below(3) == 0) params_.min_p = chance();
        if (below(3) == 0) params_.typical_p = chance();
        params_.ignore_eos = below(2) == 0;
        params_.seed = random_();
        end_ids_.resize(below(4));
        for (uint32_t& id : end_ids_)
            id = below(static_cast<uint32_t>(logits_.size()));
        ids_.assign(1 + below(50), 0);
    }

    void run() {
        const DrawContext context{ids_, 1, {}, end_ids_};
        Sampler sampler(static_cast<uint32_t>(logits_.size()));
        const uint32_t needed = Sampler::largest_needed(params_, context);
        ASSERT_GT(needed, 0u);
        Drawn expected;
        sampler.draw(params_, context, logits_, LogitsKind::kAll, expected);
        std::vector<TokenLogit> among = largest(needed);
        std::shuffle(among.begin(), among.end(), random_);
        Drawn drawn;
        sampler.draw_among(params_, context, among, drawn);
        ASSERT_EQ(drawn.valid, expected.valid);
        if (expected.valid) {
            ASSERT_EQ(drawn.token, expected.token) << "temperature " << params_.temperature;
        }
    }

  private:
    uint32_t below(uint32_t bound) { return static_cast<uint32_t>(random_() % bound); }
    float chance() { return static_cast<float>(below(1000) + 1) / 1001.0f; }

    std::vector<TokenLogit> largest(uint32_t count) const {
        std::vector<TokenLogit> all(logits_.size());
        for (uint32_t id = 0; id < all.size(); ++id)
            all[id] = {id, logits_[id]};
        std::ranges::stable_sort(all, std::greater(), &TokenLogit::logit);
        all.resize(std::min<size_t>(count, all.size()));
        return all;
    }

    std::mt19937_64 random_;
    std::vector<float> logits_;
    SamplingParams params_;
    std::vector<uint32_t> end_ids_;
    std::vector<uint32_t> ids_;
};

TEST(DrawAmong, IsTheDrawOverAll) {
    constexpr uint64_t kSeed = 20'261'122;
    std::printf("seed %llu\n", static_cast<unsigned long long>(kSeed));
    for (uint64_t i = 0; i < 6000; ++i) {
        SCOPED_TRACE(i);
        Case(kSeed + i).run();
        if (HasFatalFailure()) return;
    }
}

}  // namespace
}  // namespace bitnetd::worker
