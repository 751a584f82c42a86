// KvCache cuts an arena into pages and keeps a page table per slot. A sequence gets the pages for
// its whole length when it starts to run, so nothing runs out midway, and gives them back when it
// ends. The arena belongs to the supervisor and survives this process; its bytes are garbage at
// first. Allocates at construction only. Loop thread; workers of the thread pool read the tables in
// a step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "worker/kv/kv_layout.h"

namespace bitnetd::worker {

class KvCache {
  public:
    // Called before bytes of the arena below `end` are given out for the first time.
    using Grow = std::function<void(uint64_t end)>;

    // `arena` is 64-byte aligned and outlives the cache. Pages beyond what slots_max sequences of
    // context_max tokens can use are left alone. grow: may be empty.
    KvCache(const KvLayout& layout, std::span<std::byte> arena, uint32_t slots_max,
            uint32_t context_max, Grow grow = {});

    // The pages for `tokens` positions; false, and nothing taken, when there are too few. The slot
    // holds none and tokens <= context_max.
    bool reserve(uint32_t slot, uint32_t tokens);
    void release(uint32_t slot);

    // The slot's page table: page i holds positions i * kPageTokens and on.
    std::byte* const* pages(uint32_t slot) const;

    const KvLayout& layout() const { return layout_; }
    uint32_t pages_total() const { return pages_total_; }
    uint32_t pages_free() const { return static_cast<uint32_t>(free_.size()); }

  private:
    KvLayout layout_;
    std::span<std::byte> arena_;
    uint32_t table_pages_;  // entries per slot in tables_
    uint32_t pages_total_;
    Grow grow_;
    uint32_t pages_grown_ = 0;    // pages given out so far are below; they come in ascending order
    std::vector<uint32_t> free_;  // page numbers; the last freed is used first: warm caches
    std::vector<std::byte*> tables_;     // [slots_max][table_pages_]
    std::vector<uint32_t> page_counts_;  // [slots_max] pages held
};

}  // namespace bitnetd::worker
