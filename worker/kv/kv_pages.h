// KvPages: the pages of each running sequence, in a slot of a worker, and what they share. A
// sequence begins with what the cache already holds of its tokens, gets further pages as it grows,
// and leaves all of them behind for the next one that begins alike. Pure bookkeeping; KvCache
// turns page numbers into memory. Allocates at construction only. Loop thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "worker/kv/page_tree.h"

namespace bitnetd::worker {

// The memory of one page, to be copied before the next step is computed, in order.
struct PageCopy {
    uint32_t from;
    uint32_t to;
};

class KvPages {
  public:
    // context_max bounds the positions of one sequence.
    KvPages(uint32_t pages_total, uint32_t page_tokens, uint32_t slots_max, uint32_t context_max);

    uint32_t page_tokens() const { return tree_.page_tokens(); }
    uint32_t pages_total() const { return tree_.pages_total(); }
    // Those that a sequence could get: free, or kept only as a cache.
    uint32_t available() const { return tree_.available(); }
    // Those kept only as a cache.
    uint32_t cached() const { return tree_.cached(); }
    uint32_t pages_for(uint32_t positions) const {
        return positions / page_tokens() + (positions % page_tokens() != 0 ? 1 : 0);
    }

    // Page i of the slot's sequence holds positions i * page_tokens and on.
    std::span<const uint32_t> of(uint32_t slot) const {
        return {table_.data() + uint64_t{slot} * table_pages_, counts_[slot]};
    }
    // Positions that its pages have room for.
    uint32_t capacity(uint32_t slot) const { return counts_[slot] * page_tokens(); }

    // `ids` are the sequence's, from position 0 on; `computed` of them are, which is all that its
    // pages have room for. Appends pages that hold what comes next, as far as they are whole;
    // returns how many positions are computed now.
    uint32_t reuse_whole(uint32_t slot, uint32_t computed, std::span<const uint32_t> ids);
    // Behind that: a copy of the page that has most in common with what comes next, if there is one
    // and a page to copy to. Returns the positions computed now.
    uint32_t reuse_part(uint32_t slot, uint32_t computed, std::span<const uint32_t> ids);
    // Whether the coming step computes, for another sequence, at least half a page of what comes
    // next here and is not cached yet.
    bool is_coming(uint32_t slot, uint32_t computed, std::span<const uint32_t> ids) const;

    // Pages for so many positions; as many as there are, and false, when they are too few.
    bool grow(uint32_t slot, uint32_t positions);
    // The coming step computes these positions; the slot has pages for them.
    void announce(uint32_t slot, uint32_t first, std::span<const uint32_t> ids);
    // They are computed.
    void fill(uint32_t slot, uint32_t first, std::span<const uint32_t> ids);
    // The slot has no pages any more; what they hold stays as long as there is room.
    void release(uint32_t slot);

    // What is to be copied before the next step; kept until copies_done().
    std::span<const PageCopy> copies() const { return copies_; }
    void copies_done();

  private:
    uint32_t last_page(uint32_t slot) const {
        return counts_[slot] == 0 ? PageTree::kRoot : of(slot).back();
    }
    void append(uint32_t slot, uint32_t page);
    // The ids behind `computed` that belong to the next page.
    std::span<const uint32_t> next_page_ids(uint32_t computed, std::span<const uint32_t> ids) const;
    template <typename Do>
    void for_each_page(uint32_t slot, uint32_t first, std::span<const uint32_t> ids, Do&& act);

    PageTree tree_;
    uint32_t table_pages_;          // entries per slot in table_
    std::vector<uint32_t> table_;   // [slots_max][table_pages_]
    std::vector<uint32_t> counts_;  // [slots_max] pages held
    std::vector<PageCopy> copies_;
};

}  // namespace bitnetd::worker
