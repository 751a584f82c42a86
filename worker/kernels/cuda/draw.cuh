// The entry `draw`: a Gumbel-max draw over all tokens, with the words, noise and comparisons of
// worker/sampler (gumbel_noise.h), so it is the token that the CPU's sampler draws.
//
// A block takes one row, a thread four neighbouring tokens at a time, which share a block of
// Philox. The row is read twice: for the largest logit, which scaled logits are relative to, then
// for the draw, where a quotient of doubles for each token is most of the work: some 30 operations
// at half the rate of floats, at a 32nd or less of it on devices made for graphics. Not measured on
// a device yet.
#pragma once

#include <limits>

#include "worker/kernels/cuda/numbers.cuh"
#include "worker/sampler/gumbel_noise.h"
#include "worker/sampler/sampling_params.h"

namespace bitnetd::kernels::cuda {
namespace {

inline constexpr int32_t kDrawThreads = 1024;
inline constexpr int32_t kDrawWarps = kDrawThreads / kWarp;
inline constexpr int32_t kDrawTokens = 4;  // of a thread at a time
inline constexpr float kMasked = -std::numeric_limits<float>::infinity();

// The logits of one row, and which thread looks at which of them.
class DrawRow {
  public:
    BITNETD_DEVICE DrawRow(const float* logits, int32_t vocab, const PlainDraw& draw)
        : logits_(logits), vocab_(vocab), draw_(draw), has_masked_(false) {
        for (uint32_t i = 0; i < masked_count(); ++i) {
            const uint32_t group = draw.masked[i] / kDrawTokens;
            has_masked_ = has_masked_ || group % kDrawThreads == own();
        }
    }

    // Of this thread's tokens, four at a time: calls begin(first id of the four), then for each
    // visit(which of the four, logit, whether it may be drawn).
    template <typename Begin, typename Visit>
    BITNETD_DEVICE void each(const Begin& begin, const Visit& visit) const {
        const auto vocab = static_cast<uint32_t>(vocab_);
        for (uint32_t first = own() * kDrawTokens; first < vocab;
             first += kDrawThreads * kDrawTokens) {
            begin(first);
            BITNETD_UNROLL
            for (uint32_t i = 0; i < kDrawTokens; ++i) {
                if (first + i >= vocab) break;
                visit(i, logits_[first + i], !has_masked_ || !is_masked(first + i));
            }
        }
    }

  private:
    static BITNETD_DEVICE uint32_t own() { return static_cast<uint32_t>(thread_index()); }
    BITNETD_DEVICE uint32_t masked_count() const {
        return draw_.masked_count < kMaskedMax ? draw_.masked_count : kMaskedMax;
    }
    BITNETD_DEVICE bool is_masked(uint32_t id) const {
        for (uint32_t i = 0; i < masked_count(); ++i) {
            if (draw_.masked[i] == id) return true;
        }
        return false;
    }

    const float* logits_;
    int32_t vocab_;
    const PlainDraw& draw_;
    bool has_masked_;
};

// What the warps found, for all.
struct DrawParts {
    float largest[kDrawWarps];
    uint32_t has_others[kDrawWarps];  // logits that are not finite
    double value[kDrawWarps];
    uint32_t id[kDrawWarps];
};

// The largest logit that may be drawn, in all threads; -infinity where a logit is not finite, or
// none may be drawn.
BITNETD_DEVICE float largest_logit(const DrawRow& row, DrawParts& parts) {
    float largest = kMasked;
    bool has_others = false;
    row.each([](uint32_t) {},
             [&](uint32_t, float logit, bool is_allowed) {
                 has_others = has_others || !is_finite(logit);
                 if (is_allowed && logit > largest) largest = logit;
             });
    BITNETD_UNROLL
    for (int32_t bits = kWarp / 2; bits >= 1; bits /= 2) {
        const float other = shuffle_xor(largest, bits);
        largest = other > largest ? other : largest;
    }
    const uint32_t others = ballot(has_others);
    if (lane_index() == 0) {
        parts.largest[warp_index()] = largest;
        parts.has_others[warp_index()] = others;
    }
    block_barrier();
    uint32_t any = 0;
    for (int32_t w = 0; w < kDrawWarps; ++w) {
        largest = parts.largest[w] > largest ? parts.largest[w] : largest;
        any |= parts.has_others[w];
    }
    return any == 0 ? largest : kMasked;
}

// The best of the block, in thread 0.
BITNETD_DEVICE worker::BestDraw best_of_block(worker::BestDraw best, DrawParts& parts) {
    BITNETD_UNROLL
    for (int32_t bits = kWarp / 2; bits >= 1; bits /= 2) {
        const double value = shuffle_xor(best.value(), bits);
        best.take(value, shuffle_xor(best.id(), bits));
    }
    if (lane_index() == 0) {
        parts.value[warp_index()] = best.value();
        parts.id[warp_index()] = best.id();
    }
    block_barrier();
    if (thread_index() == 0) {
        for (int32_t w = 1; w < kDrawWarps; ++w)
            best.take(parts.value[w], parts.id[w]);
    }
    return best;
}

BITNETD_KERNEL(kDrawThreads)
void draw_kernel(int32_t vocab, const float* logits, PlainDraw* draws) {
    BITNETD_SHARED DrawParts parts;
    wait_for_earlier_launches();
    PlainDraw& draw = draws[block_x()];
    if (draw.temperature == 0.0f) return;
    const DrawRow row(logits + int64_t{block_x()} * vocab, vocab, draw);
    const float largest = largest_logit(row, parts);
    if (largest == kMasked) {
        if (thread_index() == 0) draw.valid = 0;
        return;
    }
    worker::BestDraw best;
    worker::PhiloxBlock words{};
    uint32_t first = 0;
    row.each(
        [&](uint32_t id) {
            first = id;
            words = worker::gumbel_words(draw.seed, draw.position, id);
        },
        [&](uint32_t i, float logit, bool is_allowed) {
            if (!is_allowed) return;
            const double scaled = worker::scale_logit(logit, largest, draw.temperature);
            best.offer(scaled, words[i], first + i);
        });
    best = best_of_block(best, parts);
    if (thread_index() != 0) return;
    draw.token = best.id();
    draw.valid = 1;
}

void draw(Stream stream, int32_t m, int32_t vocab, const float* logits, PlainDraw* draws) noexcept {
    launch(stream, {static_cast<uint32_t>(m)}, kDrawThreads, 0, draw_kernel, vocab, logits, draws);
}

}  // namespace
}  // namespace bitnetd::kernels::cuda
