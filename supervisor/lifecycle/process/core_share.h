// Which part of the usable cores a CPU worker computes on. Shares of one count are disjoint; those
// of different counts (a model that came later) may overlap. Pure.
#pragma once

#include <cstdint>
#include <span>

namespace bitnetd::supervisor {

struct CoreShare {
    uint32_t index = 0;
    uint32_t count = 1;      // of equal parts
    bool is_shared = false;  // with somebody who stays: neither may it pin its threads nor spin
};

bool overlap(const CoreShare& a, const CoreShare& b);

// Of `count` parts the first that overlaps the fewest of those that are taken and stay so.
CoreShare choose_share(uint32_t count, std::span<const CoreShare> taken);

}  // namespace bitnetd::supervisor
