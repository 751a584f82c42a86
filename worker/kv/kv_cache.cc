#include "worker/kv/kv_cache.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"

namespace bitnetd::worker {

KvCache::KvCache(const KvLayout& layout, std::span<std::byte> arena, uint32_t slots_max,
                 uint32_t context_max, Grow grow)
    : layout_(layout),
      arena_(arena),
      table_pages_(static_cast<uint32_t>(layout.sequence_pages(context_max))),
      grow_(std::move(grow)) {
    const uint64_t useful = uint64_t{slots_max} * table_pages_;
    pages_total_ = static_cast<uint32_t>(std::min(arena.size() / layout.page_bytes(), useful));
    free_.reserve(pages_total_);
    for (uint32_t page = pages_total_; page > 0; --page)
        free_.push_back(page - 1);
    tables_.resize(useful);
    page_counts_.resize(slots_max);
}

bool KvCache::reserve(uint32_t slot, uint32_t tokens) {
    const uint64_t count = layout_.sequence_pages(tokens);
    BITNETD_CHECK(slot < page_counts_.size());
    BITNETD_CHECK(page_counts_[slot] == 0);
    BITNETD_CHECK(count <= table_pages_);
    if (count > free_.size()) return false;
    for (uint32_t i = 0; i < count; ++i) {
        const uint32_t page = free_.back();
        free_.pop_back();
        pages_grown_ = std::max(pages_grown_, page + 1);
        tables_[uint64_t{slot} * table_pages_ + i] = arena_.data() + page * layout_.page_bytes();
    }
    page_counts_[slot] = static_cast<uint32_t>(count);
    if (grow_) grow_(pages_grown_ * layout_.page_bytes());
    return true;
}

void KvCache::release(uint32_t slot) {
    const uint32_t count = std::exchange(page_counts_.at(slot), 0);
    for (uint32_t i = count; i > 0; --i) {
        const std::byte* page = tables_[uint64_t{slot} * table_pages_ + i - 1];
        const auto offset = static_cast<uint64_t>(page - arena_.data());
        free_.push_back(static_cast<uint32_t>(offset / layout_.page_bytes()));
    }
}

std::byte* const* KvCache::pages(uint32_t slot) const {
    return tables_.data() + uint64_t{slot} * table_pages_;
}

}  // namespace bitnetd::worker
