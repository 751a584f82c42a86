#include "worker/kv/kv_cache.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace bitnetd::worker {
namespace {

uint32_t pages_in(const KvLayout& layout, std::span<const std::byte> arena, uint32_t slots_max,
                  uint32_t context_max) {
    const uint64_t useful = slots_max * layout.sequence_pages(context_max);
    return static_cast<uint32_t>(std::min(arena.size() / layout.page_bytes(), useful));
}

void copy_bytes(std::byte* to, const std::byte* from, uint64_t bytes) {
    std::memcpy(to, from, bytes);
}

}  // namespace

KvCache::KvCache(const KvLayout& layout, std::span<std::byte> arena, uint32_t slots_max,
                 uint32_t context_max, Grow grow, Copy copy)
    : layout_(layout),
      arena_(arena),
      grow_(std::move(grow)),
      copy_(copy ? std::move(copy) : copy_bytes),
      pages_(pages_in(layout, arena, slots_max, context_max), kPageTokens, slots_max, context_max),
      table_pages_(static_cast<uint32_t>(layout.sequence_pages(context_max))),
      tables_(uint64_t{slots_max} * table_pages_) {}

std::byte* KvCache::memory_of(uint32_t page) {
    if (page >= pages_grown_) {
        pages_grown_ = page + 1;
        if (grow_) grow_(pages_grown_ * layout_.page_bytes());
    }
    return arena_.data() + page * layout_.page_bytes();
}

std::byte* const* KvCache::table(uint32_t slot) {
    std::byte** const table = tables_.data() + uint64_t{slot} * table_pages_;
    std::ranges::transform(pages_.of(slot), table,
                           [this](uint32_t page) { return memory_of(page); });
    return table;
}

void KvCache::copy_pages() {
    for (const PageCopy& copy : pages_.copies())
        copy_(memory_of(copy.to), memory_of(copy.from), layout_.page_bytes());
    pages_.copies_done();
}

}  // namespace bitnetd::worker
