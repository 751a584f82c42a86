// The entry `largest`: the N largest logits of a row, by value, then by lower id.
//
// A block takes one row, thread t the tokens t, t + 1024, ...: first all find the best of their
// own; then one warp takes the best of all N times, and looks each time only through the tokens of
// the thread that had it. The first part reads vocab floats and is bound by one multiprocessor's
// share of the second cache; a round of the second takes some hundred cycles. Not measured on a
// device yet.
#pragma once

#include "worker/kernels/cuda/numbers.cuh"

namespace bitnetd::kernels::cuda {
namespace {

inline constexpr int32_t kLargestThreads = 1024;
inline constexpr int32_t kLargestGroups = kLargestThreads / kWarp;

// What a token is compared by: a larger number is a larger logit or, of equal ones, the lower id.
// What is not finite is above all, and 0 below all.
using Rank = uint64_t;
inline constexpr Rank kOddRank = ~Rank{0};
inline constexpr Rank kNoRank = 0;

BITNETD_DEVICE Rank rank_of(float logit, uint32_t id) {
    if (!is_finite(logit)) return kOddRank;
    const uint32_t bits = logit == 0.0f ? 0u : bits_of(logit);  // both zeros are equal
    const uint32_t ordered = (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
    return Rank{ordered} << 32 | static_cast<uint32_t>(~id);
}
BITNETD_DEVICE uint32_t id_of(Rank rank) {
    return ~static_cast<uint32_t>(rank);
}
BITNETD_DEVICE Rank best_of(Rank a, Rank b) {
    return a > b ? a : b;
}
BITNETD_DEVICE Rank best_of_warp(Rank rank) {
    BITNETD_UNROLL
    for (int32_t bits = kWarp / 2; bits >= 1; bits /= 2)
        rank = best_of(rank, shuffle_xor(rank, bits));
    return rank;
}

// The best of the tokens first, first + step, ... that rank below `below`.
BITNETD_DEVICE Rank best_from(const float* logits, int32_t vocab, int32_t first, int32_t step,
                              Rank below) {
    Rank best = kNoRank;
    for (int64_t id = first; id < vocab; id += step) {
        const Rank rank = rank_of(logits[id], static_cast<uint32_t>(id));
        if (rank < below || rank == kOddRank) best = best_of(best, rank);
    }
    return best;
}

// By one warp: best [kLargestThreads] are the threads' own.
BITNETD_DEVICE void take_largest(const float* logits, int32_t vocab, Rank* best, Largest& out) {
    const int32_t lane = lane_index();
    // Lane g keeps the best of threads 32g .. 32g + 31. Lanes begin at different banks.
    Rank of_group = kNoRank;
    for (int32_t i = 0; i < kWarp; ++i)
        of_group = best_of(of_group, best[lane * kWarp + (i + lane) % kWarp]);
    uint32_t count = out.wanted < kLargestMax ? out.wanted : kLargestMax;
    if (count > static_cast<uint32_t>(vocab)) count = static_cast<uint32_t>(vocab);
    if (best_of_warp(of_group) == kOddRank) count = 0;
    if (lane == 0) out.count = count;
    for (uint32_t n = 0; n < count; ++n) {
        const Rank winner = best_of_warp(of_group);
        const uint32_t id = id_of(winner);
        if (lane == 0) {
            out.ids[n] = id;
            out.logits[n] = logits[id];
        }
        if (n + 1 == count) return;
        const auto owner = static_cast<int32_t>(id % kLargestThreads);
        const Rank next = best_of_warp(best_from(logits, vocab, owner + lane * kLargestThreads,
                                                 kLargestThreads * kWarp, winner));
        if (lane == owner % kWarp) best[owner] = next;
        warp_barrier();
        const Rank group = best_of_warp(best[owner / kWarp * kWarp + lane]);
        if (lane == owner / kWarp) of_group = group;
    }
}

BITNETD_KERNEL(kLargestThreads)
void largest_kernel(int32_t vocab, const float* all_logits, Largest* out) {
    static_assert(kLargestGroups == kWarp);
    BITNETD_SHARED Rank best[kLargestThreads];
    wait_for_earlier_launches();
    Largest& of_row = out[block_x()];
    if (of_row.wanted == 0) return;
    const float* const logits = all_logits + int64_t{block_x()} * vocab;
    best[thread_index()] = best_from(logits, vocab, thread_index(), kLargestThreads, kOddRank);
    block_barrier();
    if (warp_index() == 0) take_largest(logits, vocab, best, of_row);
}

void largest(Stream stream, int32_t m, int32_t vocab, const float* logits, Largest* out) noexcept {
    launch(stream, {static_cast<uint32_t>(m)}, kLargestThreads, 0, largest_kernel, vocab, logits,
           out);
}

}  // namespace
}  // namespace bitnetd::kernels::cuda
