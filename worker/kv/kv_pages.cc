#include "worker/kv/kv_pages.h"

#include <algorithm>

#include "common/base/check.h"

namespace bitnetd::worker {
namespace {

// Less than this part of a page is computed again rather than copied: it would often be no more
// than the token that all texts begin with.
constexpr uint32_t kCopiedShareMin = 8;

}  // namespace

KvPages::KvPages(uint32_t pages_total, uint32_t page_tokens, uint32_t slots_max,
                 uint32_t context_max)
    : tree_(pages_total, page_tokens),
      table_pages_(pages_for(context_max)),
      table_(uint64_t{slots_max} * table_pages_),
      counts_(slots_max) {
    copies_.reserve(slots_max);
}

void KvPages::append(uint32_t slot, uint32_t page) {
    BITNETD_CHECK(counts_[slot] < table_pages_);
    table_[uint64_t{slot} * table_pages_ + counts_[slot]++] = page;
}

std::span<const uint32_t> KvPages::next_page_ids(uint32_t computed,
                                                 std::span<const uint32_t> ids) const {
    if (computed >= ids.size()) return {};
    return ids.subspan(computed, std::min<size_t>(page_tokens(), ids.size() - computed));
}

uint32_t KvPages::reuse_whole(uint32_t slot, uint32_t computed, std::span<const uint32_t> ids) {
    BITNETD_CHECK(computed == capacity(slot));
    for (;;) {
        const auto next = next_page_ids(computed, ids);
        if (next.size() < page_tokens()) return computed;
        const auto page = tree_.find_whole(last_page(slot), next);
        if (!page) return computed;
        tree_.add_user(*page);
        append(slot, *page);
        computed += page_tokens();
    }
}

uint32_t KvPages::reuse_part(uint32_t slot, uint32_t computed, std::span<const uint32_t> ids) {
    BITNETD_CHECK(computed == capacity(slot));
    const uint32_t parent = last_page(slot);
    const auto next = next_page_ids(computed, ids);
    const PageTree::Likeness like = tree_.most_like(parent, next);
    const bool is_worth_it = like.filled > 0 && like.filled >= page_tokens() / kCopiedShareMin;
    if (!is_worth_it || copies_.size() == copies_.capacity()) return computed;
    tree_.add_user(like.page);  // until it is copied
    if (tree_.available() == 0) {
        tree_.remove_user(like.page);
        return computed;
    }
    const uint32_t page = tree_.take(parent);
    tree_.fill(page, 0, next.first(like.filled));
    append(slot, page);
    copies_.push_back({like.page, page});
    return computed + like.filled;
}

bool KvPages::is_coming(uint32_t slot, uint32_t computed, std::span<const uint32_t> ids) const {
    if (computed != capacity(slot)) return false;
    const auto like = tree_.most_like(last_page(slot), next_page_ids(computed, ids));
    return like.announced - like.filled >= (page_tokens() + 1) / 2;
}

bool KvPages::grow(uint32_t slot, uint32_t positions) {
    while (capacity(slot) < positions) {
        if (tree_.available() == 0) return false;
        append(slot, tree_.take(last_page(slot)));
    }
    return true;
}

template <typename Do>
void KvPages::for_each_page(uint32_t slot, uint32_t first, std::span<const uint32_t> ids,
                            Do&& act) {
    while (!ids.empty()) {
        const uint32_t within = first % page_tokens();
        const size_t here = std::min<size_t>(page_tokens() - within, ids.size());
        act(of(slot)[first / page_tokens()], within, ids.first(here));
        first += static_cast<uint32_t>(here);
        ids = ids.subspan(here);
    }
}

void KvPages::announce(uint32_t slot, uint32_t first, std::span<const uint32_t> ids) {
    for_each_page(slot, first, ids, [this](uint32_t page, uint32_t within, auto here) {
        tree_.announce(page, within, here);
    });
}

void KvPages::fill(uint32_t slot, uint32_t first, std::span<const uint32_t> ids) {
    for_each_page(slot, first, ids, [this](uint32_t page, uint32_t within, auto here) {
        tree_.fill(page, within, here);
    });
}

void KvPages::release(uint32_t slot) {
    while (counts_[slot] > 0) {
        tree_.remove_user(last_page(slot));
        --counts_[slot];
    }
}

void KvPages::copies_done() {
    for (const PageCopy& copy : copies_)
        tree_.remove_user(copy.from);
    copies_.clear();
}

}  // namespace bitnetd::worker
