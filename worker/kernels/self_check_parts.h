// What the parts of the self-check share: random shapes and values, outputs with guards. Internal
// to self_check*.cc.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "worker/kernels/kernel_api.h"

namespace bitnetd::kernels {

constexpr int64_t kGuard = 16;  // elements after each output that must stay as they were

// splitmix64: small, and the same everywhere.
class Random {
  public:
    explicit Random(uint64_t seed) : state_(seed) {}

    uint64_t next() {
        uint64_t z = state_ += 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }
    int32_t in(int32_t low, int32_t high) {
        return low + static_cast<int32_t>(next() % static_cast<uint64_t>(high - low + 1));
    }
    bool one_in(uint64_t n) { return next() % n == 0; }
    // Within +-limit.
    float real(float limit) { return (static_cast<float>(next() >> 40) * 0x1p-23f - 1.0f) * limit; }

  private:
    uint64_t state_;
};

// Activations as models have them: mostly near 1, now and then an outlier, a zero or a speck.
std::vector<float> values(Random& random, int64_t count);

template <typename T>
std::vector<T> output(int64_t count) {
    return std::vector<T>(static_cast<size_t>(count + kGuard), static_cast<T>(77));
}

template <typename T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

// The first entry of attention, or of the storing of its rows, that differs from the reference's,
// or null (self_check_attention.cc).
const char* first_attention_difference(const KernelTable& table, Random& random);

// The first block entry that differs from the reference's, or null (self_check_blocks.cc). Two
// formats are tried for each seed: six neighbouring seeds have tried them all.
const char* first_block_difference(const KernelTable& table, uint64_t seed, Random& random);

}  // namespace bitnetd::kernels
