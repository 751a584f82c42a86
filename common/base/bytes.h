// Reading untrusted bytes: unaligned little-endian loads and arithmetic that reports overflow.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <type_traits>

namespace bitnetd {

// The T stored at `at`, which need not be aligned. The caller has checked that sizeof(T) bytes are
// there. bitnetd runs on little-endian machines only.
template <typename T>
T load(const void* at) noexcept {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    std::memcpy(&value, at, sizeof value);
    return value;
}

inline std::optional<uint64_t> checked_add(uint64_t a, uint64_t b) noexcept {
    uint64_t sum = 0;
    if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
    return sum;
}

inline std::optional<uint64_t> checked_mul(uint64_t a, uint64_t b) noexcept {
    uint64_t product = 0;
    if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
    return product;
}

// `value` rounded up to a multiple of `alignment`, a power of two; nothing when that overflows.
inline std::optional<uint64_t> checked_round_up(uint64_t value, uint64_t alignment) noexcept {
    const auto sum = checked_add(value, alignment - 1);
    if (!sum) return std::nullopt;
    return *sum & ~(alignment - 1);
}

// For values known to be far from overflow.
constexpr uint64_t round_up(uint64_t value, uint64_t alignment) noexcept {
    return (value + alignment - 1) & ~(alignment - 1);
}

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);

}  // namespace bitnetd
