// A fixed array of plain values, 64-byte aligned as the kernels want it. Not initialised.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <type_traits>

namespace bitnetd::worker {

template <typename T>
requires std::is_trivial_v<T>
class AlignedArray {
  public:
    AlignedArray() = default;
    explicit AlignedArray(size_t count)
        : data_(static_cast<T*>(::operator new(count * sizeof(T), kAlignment))), count_(count) {}

    T* data() const { return data_.get(); }
    size_t size() const { return count_; }
    std::span<T> span() const { return {data_.get(), count_}; }

  private:
    static constexpr std::align_val_t kAlignment{64};
    struct Delete {
        void operator()(T* data) const { ::operator delete(data, kAlignment); }
    };
    std::unique_ptr<T, Delete> data_;
    size_t count_ = 0;
};

}  // namespace bitnetd::worker
