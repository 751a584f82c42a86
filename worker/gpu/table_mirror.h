// TableMirror: which entries of the sequences' page tables (KvCache::tables()) the device does not
// have yet. A sequence gets a page every kPageTokens positions, so a step nearly always has nothing
// to upload. Pure bookkeeping over memory that it is given. Loop thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace bitnetd::worker {

class TableMirror {
  public:
    // A run of entries, by their index in the mirror.
    struct Run {
        uint64_t first;
        uint64_t count;
    };

    // mirror: [tables][table_pages], what the device has; outlives this. All null at first.
    TableMirror(std::span<std::byte*> mirror, uint32_t table_pages);

    // The first `count` pages of a table as they are now: takes over what differs. Returns it, from
    // the first entry that differs to the last; nothing where none does.
    std::optional<Run> update(uint32_t table, std::byte* const* pages, uint32_t count) noexcept;

    uint32_t table_pages() const { return table_pages_; }

  private:
    std::span<std::byte*> mirror_;
    uint32_t table_pages_;
};

}  // namespace bitnetd::worker
