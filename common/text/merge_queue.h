// The pairs of one piece that could be joined, best first: lowest order, leftmost on ties. Both
// mergers use it the same way: each symbol keeps the order of the one pair that starts at it, and
// an entry of the queue whose order is no longer its symbol's is stale and passed over. A symbol
// gets a new pair only when it or its neighbour grows, so a piece of n symbols puts at most 3 n
// entries here: n log n, whatever the text. One thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

namespace bitnetd::text {

class MergeQueue {
  public:
    static constexpr uint32_t kNoOrder = 0xFFFFFFFF;  // of a symbol that starts no pair

    struct Entry {
        uint32_t order;
        uint32_t left;  // index of the symbol
    };

    void clear() { entries_.clear(); }

    // Before start(): all pairs of the piece as it was given.
    void add(uint32_t order, uint32_t left) { entries_.push_back(pack(order, left)); }
    void start() {
        added_ += entries_.size();
        std::make_heap(entries_.begin(), entries_.end(), std::greater<>());
    }

    void push(uint32_t order, uint32_t left) {
        ++added_;
        entries_.push_back(pack(order, left));
        std::push_heap(entries_.begin(), entries_.end(), std::greater<>());
    }

    bool pop(Entry& entry) {
        if (entries_.empty()) return false;
        std::pop_heap(entries_.begin(), entries_.end(), std::greater<>());
        entry = {static_cast<uint32_t>(entries_.back() >> 32),
                 static_cast<uint32_t>(entries_.back())};
        entries_.pop_back();
        return true;
    }

    // Entries so far, over all pieces: what merging has cost.
    uint64_t added() const { return added_; }

  private:
    static uint64_t pack(uint32_t order, uint32_t left) { return uint64_t{order} << 32 | left; }

    std::vector<uint64_t> entries_;
    uint64_t added_ = 0;
};

}  // namespace bitnetd::text
