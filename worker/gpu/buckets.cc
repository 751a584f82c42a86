#include "worker/gpu/buckets.h"

#include <algorithm>

#include "common/base/check.h"

namespace bitnetd::worker {

Buckets::Buckets(uint32_t rows_max) {
    BITNETD_CHECK(rows_max >= 1);
    for (uint64_t power = 1; power < rows_max; power *= 2) {
        sizes_.push_back(static_cast<uint32_t>(power));
        const uint64_t between = power + power / 2;
        if (power > 1 && between < rows_max) sizes_.push_back(static_cast<uint32_t>(between));
    }
    sizes_.push_back(rows_max);
}

size_t Buckets::index_of(uint32_t rows) const {
    const auto at = std::ranges::lower_bound(sizes_, rows);
    BITNETD_CHECK(rows >= 1 && at != sizes_.end());
    return static_cast<size_t>(at - sizes_.begin());
}

}  // namespace bitnetd::worker
