// PrefixMemory: which beginnings of texts a worker was given lately, and so probably still has in
// its KV cache. A guess that costs some speed when it is wrong and nothing else; the worker looks
// for itself. Bounded: the older half goes when the newer one is full.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_set>
#include <vector>

namespace bitnetd::frontend {

inline constexpr size_t kPrefixBlockTokens = 32;

// Entry i names ids[0 .. (i + 1) * kPrefixBlockTokens).
std::vector<uint64_t> prefix_names(std::span<const uint32_t> ids);

class PrefixMemory {
  public:
    void add(std::span<const uint64_t> names);
    // How many of the tokens that `names` name, from the first on, it was given.
    uint32_t tokens_known(std::span<const uint64_t> names) const;

  private:
    static constexpr size_t kHalf = 8'192;

    std::unordered_set<uint64_t> newer_;
    std::unordered_set<uint64_t> older_;
};

}  // namespace bitnetd::frontend
