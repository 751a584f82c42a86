// How work is split over threads: evenly, in order, the same for the same numbers.
#pragma once

#include <cstdint>

namespace bitnetd::worker {

struct Range {
    int64_t begin = 0;
    int64_t end = 0;  // one past the last

    int64_t count() const { return end - begin; }
    friend bool operator==(const Range&, const Range&) = default;
};

// Part `index` of `parts` of 0..total-1. Every boundary but the last is a multiple of `grain`,
// parts differ by at most one grain, and together they cover everything once. A part may be empty.
// Needs total >= 0, parts >= 1, 0 <= index < parts, grain >= 1.
constexpr Range slice(int64_t total, int64_t parts, int64_t index, int64_t grain = 1) noexcept {
    const int64_t grains = total / grain + (total % grain != 0 ? 1 : 0);
    const int64_t each = grains / parts;
    const int64_t longer = grains % parts;  // the first parts get one more
    const int64_t first = each * index + (index < longer ? index : longer);
    const int64_t last = first + each + (index < longer ? 1 : 0);
    return {first * grain < total ? first * grain : total,
            last * grain < total ? last * grain : total};
}

}  // namespace bitnetd::worker
