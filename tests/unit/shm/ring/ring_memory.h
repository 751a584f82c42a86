// A ring on the heap, exactly as large as it must be, so that address sanitizer sees one byte too
// far.
#pragma once

#include <cstdlib>
#include <memory>
#include <span>

#include "common/base/check.h"
#include "shm/ring/ring.h"
#include "shm/ring/ring_reader.h"
#include "shm/ring/ring_writer.h"

namespace bitnetd::shm::test {

class RingMemory {
  public:
    explicit RingMemory(uint64_t capacity_bytes = kRingCapacityMin)
        : bytes_(sizeof(RingHeader) + capacity_bytes),
          data_(static_cast<std::byte*>(std::aligned_alloc(64, bytes_))) {
        std::fill_n(data_.get(), bytes_, std::byte{0});
        BITNETD_CHECK(init_ring(memory(), 11, 12).ok());
    }

    std::span<std::byte> memory() { return {data_.get(), bytes_}; }
    std::span<std::byte> data() { return memory().subspan(sizeof(RingHeader)); }
    RingHeader& header() { return *reinterpret_cast<RingHeader*>(data_.get()); }

    RingWriter writer() { return std::move(RingWriter::open(memory())).value(); }
    RingReader reader() { return std::move(RingReader::open(memory())).value(); }

  private:
    struct Free {
        void operator()(std::byte* memory) const { std::free(memory); }
    };
    size_t bytes_;
    std::unique_ptr<std::byte, Free> data_;
};

}  // namespace bitnetd::shm::test
