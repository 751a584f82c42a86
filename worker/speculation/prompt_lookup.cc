#include "worker/speculation/prompt_lookup.h"

#include <algorithm>

namespace bitnetd::worker {
namespace {

// How many ids before `end` are those before the sequence's end; the last two are known to be.
uint32_t repeated_ids(const uint32_t* ids, uint32_t id_count, uint32_t end) noexcept {
    const uint32_t most = std::min(end, kRepeatedMax);
    uint32_t same = kRepeatedMin;
    while (same < most && ids[end - 1 - same] == ids[id_count - 1 - same])
        ++same;
    return same;
}

}  // namespace

uint32_t guess_by_lookup(std::span<uint32_t> memory, uint32_t id_count, uint32_t wanted) noexcept {
    static_assert(kRepeatedMin == 2, "the scan compares two ids");
    if (wanted == 0 || id_count <= kRepeatedMin) return 0;
    uint32_t* const ids = memory.data();
    const uint32_t last = ids[id_count - 1];
    const uint32_t before_last = ids[id_count - 2];
    const uint32_t oldest = id_count > kLookupWindow ? id_count - kLookupWindow : 0;
    uint32_t longest = 0;
    uint32_t source = 0;
    for (uint32_t end = id_count - 1; end >= oldest + kRepeatedMin; --end) {
        if (ids[end - 1] != last || ids[end - 2] != before_last) continue;
        const uint32_t same = repeated_ids(ids, id_count, end);
        if (same <= longest) continue;
        longest = same;
        source = end;
        if (same == kRepeatedMax) break;
    }
    if (longest == 0) return 0;
    for (uint32_t i = 0; i < wanted; ++i)
        ids[id_count + i] = ids[source + i];
    return wanted;
}

}  // namespace bitnetd::worker
