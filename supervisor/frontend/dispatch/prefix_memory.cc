#include "supervisor/frontend/dispatch/prefix_memory.h"

#include <xxhash.h>

#include <utility>

namespace bitnetd::frontend {

std::vector<uint64_t> prefix_names(std::span<const uint32_t> ids) {
    std::vector<uint64_t> names;
    uint64_t name = 0;
    for (; ids.size() >= kPrefixBlockTokens; ids = ids.subspan(kPrefixBlockTokens)) {
        name = XXH3_64bits_withSeed(ids.data(), kPrefixBlockTokens * sizeof ids[0], name);
        names.push_back(name);
    }
    return names;
}

void PrefixMemory::add(std::span<const uint64_t> names) {
    for (const uint64_t name : names) {
        if (newer_.size() == kHalf) older_ = std::exchange(newer_, {});
        newer_.insert(name);
    }
}

uint32_t PrefixMemory::tokens_known(std::span<const uint64_t> names) const {
    uint32_t count = 0;
    while (count < names.size() && (newer_.contains(names[count]) || older_.contains(names[count])))
        ++count;
    return count * static_cast<uint32_t>(kPrefixBlockTokens);
}

}  // namespace bitnetd::frontend
