// KvCache: the memory behind a worker's KV pages. KvPages says which page a position is in, this is
// where the page lies. The arena is garbage at first: a CPU worker's belongs to the supervisor and
// survives this process, a GPU worker's is memory of its device, which is never read here.
// Allocates at construction only. Loop thread; workers of the thread pool read the tables in a
// step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "worker/kv/kv_layout.h"
#include "worker/kv/kv_pages.h"

namespace bitnetd::worker {

class KvCache {
  public:
    // Called before bytes of the arena below `end` are used for the first time.
    using Grow = std::function<void(uint64_t end)>;

    // Copies a page, before the next step is computed.
    using Copy = std::function<void(std::byte* to, const std::byte* from, uint64_t bytes)>;

    // `arena` is 64-byte aligned and outlives the cache. Pages beyond what slots_max sequences of
    // context_max tokens can use are left alone. grow and copy: may be empty; a copy is memcpy
    // then.
    KvCache(const KvLayout& layout, std::span<std::byte> arena, uint32_t slots_max,
            uint32_t context_max, Grow grow = {}, Copy copy = {});

    const KvLayout& layout() const { return layout_; }
    KvPages& pages() { return pages_; }
    const KvPages& pages() const { return pages_; }

    // The slot's page table as of now: entry i is the memory of positions i * kPageTokens and on.
    // Valid until the slot's pages change.
    std::byte* const* table(uint32_t slot);
    // All of them, [slots_max][table_pages()]: where table() points into.
    std::span<std::byte* const> tables() const { return tables_; }
    uint32_t table_pages() const { return table_pages_; }
    // Copies what sequences took over from pages that others go on with.
    void copy_pages();

  private:
    std::byte* memory_of(uint32_t page);

    KvLayout layout_;
    std::span<std::byte> arena_;
    Grow grow_;
    Copy copy_;
    KvPages pages_;
    uint32_t table_pages_;            // entries per slot in tables_
    std::vector<std::byte*> tables_;  // [slots_max][table_pages_]
    uint32_t pages_grown_ = 0;        // pages used so far are below; they come in ascending order
};

}  // namespace bitnetd::worker
