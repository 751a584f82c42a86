// Numbers of rows that graphs are made for: a graph's shapes are fixed, so a step of 37 rows runs
// the graph of 48. Between two powers of two there is one more, so that at most a third of a step
// is filled up. Pure arithmetic.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace bitnetd::worker {

class Buckets {
  public:
    // 1, 2, 3, 4, 6, 8, 12, ... up to rows_max >= 1, which is one itself.
    explicit Buckets(uint32_t rows_max);

    std::span<const uint32_t> sizes() const { return sizes_; }  // ascending
    // Index of the smallest that holds 1 .. rows_max rows.
    size_t index_of(uint32_t rows) const;

  private:
    std::vector<uint32_t> sizes_;
};

}  // namespace bitnetd::worker
