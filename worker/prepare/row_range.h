// Rows of a planned tensor that are worked on together.
#pragma once

#include <cstdint>

namespace bitnetd::worker {

struct RowRange {
    uint64_t first = 0;
    uint64_t count = 0;
};

}  // namespace bitnetd::worker
