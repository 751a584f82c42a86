// PageTree: which KV page holds which tokens, who uses it, and which one goes next. Pure
// bookkeeping over page numbers; the memory is KvCache's.
//
// A page holds the keys and values of page_tokens positions. Its parent holds the positions before
// it, so a path from the root is a prefix of tokens, and pages are found again by walking down.
// Whole pages are shared by reference; a page that is not full has one user, and others copy what
// it holds. A page that nobody uses stays as a cache of its prefix until its memory is needed:
// least recently used first. Whoever uses a page uses its parent and gives it up later, so a page
// always goes before its parent does. Hits compare tokens, never hashes alone.
// Allocates at construction only. Loop thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace bitnetd::worker {

class PageTree {
  public:
    static constexpr uint32_t kRoot = UINT32_MAX;  // the parent of pages of first positions

    PageTree(uint32_t pages_total, uint32_t page_tokens);

    uint32_t pages_total() const { return static_cast<uint32_t>(pages_.size()); }
    uint32_t page_tokens() const { return page_tokens_; }
    // Pages that take() can give: never used, or used by nobody.
    uint32_t available() const { return free_count_ + idle_count_; }
    // Of these, pages that hold tokens.
    uint32_t cached() const { return idle_count_; }

    // A page for the positions behind `parent`, empty, used once; the least recently used one's
    // memory when none is free. Needs available() > 0.
    uint32_t take(uint32_t parent);
    void add_user(uint32_t page);
    // Without users it keeps what was computed, not what was announced: one that is not full has
    // one sequence, and other users only until they have copied it. A page with nothing computed is
    // free. The user has given up the pages behind it before.
    void remove_user(uint32_t page);

    // The ids that its positions from `first` on (<= known) are about to hold: others may wait.
    void announce(uint32_t page, uint32_t first, std::span<const uint32_t> ids);
    // These positions (first <= filled) are computed; what was announced beyond them is not coming.
    void fill(uint32_t page, uint32_t first, std::span<const uint32_t> ids);

    // The page behind `parent` that holds exactly these page_tokens ids.
    std::optional<uint32_t> find_whole(uint32_t parent, std::span<const uint32_t> ids) const;

    // What pages behind `parent` have in common with `ids`, from their first positions on.
    struct Likeness {
        uint32_t filled = 0;     // most ids in common that are computed, of page `page`
        uint32_t page = kRoot;   // kRoot: none
        uint32_t announced = 0;  // most ids in common, those about to be computed included
    };
    Likeness most_like(uint32_t parent, std::span<const uint32_t> ids) const;

  private:
    struct Page {
        uint32_t users = 0;
        uint32_t parent = kRoot;
        uint32_t first_child = kRoot;  // kRoot here and below: none
        uint32_t next_sibling = kRoot;
        uint32_t previous_sibling = kRoot;
        uint32_t older = kRoot;  // among idle pages
        uint32_t newer = kRoot;
        uint32_t next_in_bucket = kRoot;
        uint32_t bucket = kRoot;
        uint32_t known = 0;   // ids_ that are computed or announced
        uint32_t filled = 0;  // ids_ that are computed
    };

    // How many siblings are compared: the latest ones.
    static constexpr uint32_t kSiblingsCompared = 64;

    std::span<uint32_t> ids_of(uint32_t page) {
        return std::span(ids_).subspan(uint64_t{page} * page_tokens_, page_tokens_);
    }
    std::span<const uint32_t> ids_of(uint32_t page) const {
        return std::span(ids_).subspan(uint64_t{page} * page_tokens_, page_tokens_);
    }
    uint32_t& first_child_of(uint32_t parent) {
        return parent == kRoot ? first_of_root_ : pages_[parent].first_child;
    }
    uint32_t bucket_of(uint32_t parent, std::span<const uint32_t> ids) const;
    void link_sibling(uint32_t page, uint32_t parent);
    void unlink_sibling(uint32_t page);
    void link_bucket(uint32_t page);
    void unlink_bucket(uint32_t page);
    void link_idle(uint32_t page);
    void unlink_idle(uint32_t page);
    // Out of the tree: nothing finds it any more.
    void forget(uint32_t page);

    uint32_t page_tokens_;
    std::vector<Page> pages_;
    std::vector<uint32_t> ids_;      // [pages][page_tokens]
    std::vector<uint32_t> buckets_;  // of whole pages, by hash of parent and ids; a power of two
    uint32_t first_of_root_ = kRoot;
    uint32_t oldest_idle_ = kRoot;
    uint32_t newest_idle_ = kRoot;
    uint32_t idle_count_ = 0;
    std::vector<uint32_t> free_;  // stack; the lowest numbers first
    uint32_t free_count_ = 0;
};

}  // namespace bitnetd::worker
