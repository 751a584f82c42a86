#include "supervisor/lifecycle/process/core_share.h"

#include <algorithm>

namespace bitnetd::supervisor {

bool overlap(const CoreShare& a, const CoreShare& b) {
    const auto begins_before_end = [](const CoreShare& one, const CoreShare& other) {
        return uint64_t{one.index} * other.count < (uint64_t{other.index} + 1) * one.count;
    };
    return begins_before_end(a, b) && begins_before_end(b, a);
}

CoreShare choose_share(uint32_t count, std::span<const CoreShare> taken) {
    const auto others_of = [taken](const CoreShare& share) {
        return std::ranges::count_if(taken,
                                     [&](const CoreShare& other) { return overlap(share, other); });
    };
    CoreShare best{.index = 0, .count = count};
    auto fewest = others_of(best);
    for (uint32_t index = 1; index < count && fewest > 0; ++index) {
        const CoreShare share{.index = index, .count = count};
        const auto others = others_of(share);
        if (others >= fewest) continue;
        best = share;
        fewest = others;
    }
    best.is_shared = fewest > 0;
    return best;
}

}  // namespace bitnetd::supervisor
