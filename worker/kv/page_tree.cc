#include "worker/kv/page_tree.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>

#include "common/base/check.h"

namespace bitnetd::worker {
namespace {

uint32_t common_count(std::span<const uint32_t> a, std::span<const uint32_t> b) {
    const size_t most = std::min(a.size(), b.size());
    const auto differs =
        std::mismatch(a.begin(), a.begin() + static_cast<int64_t>(most), b.begin());
    return static_cast<uint32_t>(differs.first - a.begin());
}

}  // namespace

PageTree::PageTree(uint32_t pages_total, uint32_t page_tokens)
    : page_tokens_(page_tokens),
      pages_(pages_total),
      ids_(uint64_t{pages_total} * page_tokens),
      buckets_(std::bit_ceil(uint64_t{pages_total} + 1), kRoot),
      free_(pages_total),
      free_count_(pages_total) {
    BITNETD_CHECK(page_tokens > 0);
    for (uint32_t i = 0; i < pages_total; ++i)
        free_[i] = pages_total - 1 - i;
}

uint32_t PageTree::bucket_of(uint32_t parent, std::span<const uint32_t> ids) const {
    const uint64_t hash = XXH3_64bits_withSeed(ids.data(), ids.size_bytes(), parent);
    return static_cast<uint32_t>(hash & (buckets_.size() - 1));
}

uint32_t PageTree::take(uint32_t parent) {
    BITNETD_CHECK(available() > 0);
    uint32_t page;
    if (free_count_ > 0) {
        page = free_[--free_count_];
    } else {
        page = oldest_idle_;
        unlink_idle(page);
        forget(page);
    }
    pages_[page] = Page{};
    pages_[page].users = 1;
    link_sibling(page, parent);
    return page;
}

void PageTree::add_user(uint32_t page) {
    if (pages_[page].users++ == 0) unlink_idle(page);
}

void PageTree::remove_user(uint32_t number) {
    Page& page = pages_[number];
    BITNETD_CHECK(page.users > 0);
    if (--page.users > 0) return;
    page.known = page.filled;
    if (page.filled > 0) return link_idle(number);
    forget(number);
    free_[free_count_++] = number;
}

void PageTree::announce(uint32_t number, uint32_t first, std::span<const uint32_t> ids) {
    Page& page = pages_[number];
    BITNETD_CHECK(first <= page.known && first >= page.filled);
    BITNETD_CHECK(first + ids.size() <= page_tokens_);
    std::copy(ids.begin(), ids.end(), ids_of(number).begin() + first);
    page.known = first + static_cast<uint32_t>(ids.size());
}

void PageTree::fill(uint32_t number, uint32_t first, std::span<const uint32_t> ids) {
    Page& page = pages_[number];
    BITNETD_CHECK(page.users == 1 && first == page.filled);
    BITNETD_CHECK(first + ids.size() <= page_tokens_);
    std::copy(ids.begin(), ids.end(), ids_of(number).begin() + first);
    page.filled = first + static_cast<uint32_t>(ids.size());
    page.known = page.filled;
    if (page.filled == page_tokens_) link_bucket(number);
}

std::optional<uint32_t> PageTree::find_whole(uint32_t parent, std::span<const uint32_t> ids) const {
    BITNETD_CHECK(ids.size() == page_tokens_);
    for (uint32_t at = buckets_[bucket_of(parent, ids)]; at != kRoot;
         at = pages_[at].next_in_bucket) {
        if (pages_[at].parent == parent && std::ranges::equal(ids_of(at), ids)) return at;
    }
    return std::nullopt;
}

PageTree::Likeness PageTree::most_like(uint32_t parent, std::span<const uint32_t> ids) const {
    Likeness best;
    uint32_t at = parent == kRoot ? first_of_root_ : pages_[parent].first_child;
    for (uint32_t i = 0; i < kSiblingsCompared && at != kRoot; ++i, at = pages_[at].next_sibling) {
        const Page& page = pages_[at];
        const uint32_t announced = common_count(ids_of(at).first(page.known), ids);
        best.announced = std::max(best.announced, announced);
        const uint32_t filled = std::min(announced, page.filled);
        if (filled <= best.filled) continue;
        best.filled = filled;
        best.page = at;
    }
    return best;
}

void PageTree::link_sibling(uint32_t number, uint32_t parent) {
    Page& page = pages_[number];
    uint32_t& first = first_child_of(parent);
    page.parent = parent;
    page.previous_sibling = kRoot;
    page.next_sibling = first;
    if (first != kRoot) pages_[first].previous_sibling = number;
    first = number;
}

void PageTree::unlink_sibling(uint32_t number) {
    Page& page = pages_[number];
    if (page.previous_sibling == kRoot) {
        first_child_of(page.parent) = page.next_sibling;
    } else {
        pages_[page.previous_sibling].next_sibling = page.next_sibling;
    }
    if (page.next_sibling != kRoot) {
        pages_[page.next_sibling].previous_sibling = page.previous_sibling;
    }
}

void PageTree::link_bucket(uint32_t number) {
    Page& page = pages_[number];
    page.bucket = bucket_of(page.parent, ids_of(number));
    page.next_in_bucket = buckets_[page.bucket];
    buckets_[page.bucket] = number;
}

void PageTree::unlink_bucket(uint32_t number) {
    Page& page = pages_[number];
    if (page.bucket == kRoot) return;
    uint32_t* at = &buckets_[page.bucket];
    while (*at != number)
        at = &pages_[*at].next_in_bucket;
    *at = page.next_in_bucket;
    page.bucket = kRoot;
}

void PageTree::link_idle(uint32_t number) {
    Page& page = pages_[number];
    page.older = newest_idle_;
    page.newer = kRoot;
    (newest_idle_ == kRoot ? oldest_idle_ : pages_[newest_idle_].newer) = number;
    newest_idle_ = number;
    ++idle_count_;
}

void PageTree::unlink_idle(uint32_t number) {
    const Page& page = pages_[number];
    (page.older == kRoot ? oldest_idle_ : pages_[page.older].newer) = page.newer;
    (page.newer == kRoot ? newest_idle_ : pages_[page.newer].older) = page.older;
    --idle_count_;
}

void PageTree::forget(uint32_t number) {
    BITNETD_CHECK(pages_[number].first_child == kRoot);
    unlink_bucket(number);
    unlink_sibling(number);
}

}  // namespace bitnetd::worker
