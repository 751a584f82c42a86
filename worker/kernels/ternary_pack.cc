#include "worker/kernels/ternary_pack.h"

#include <cstring>

#include "worker/kernels/kernel_api.h"

namespace bitnetd::kernels {
namespace {

struct Place {
    int64_t byte;
    int shift;
};

Place place_of(int64_t t) {
    const int64_t in_block = t % kTernaryBlock;
    return {t / kTernaryBlock * kTernaryBlockBytes + in_block % kTernaryBlockBytes,
            static_cast<int>(in_block / kTernaryBlockBytes) * 2};
}

// One whole block, written so that the compiler makes vectors of it.
void pack_block(const int8_t* digits, uint8_t* out) {
    for (int64_t p = 0; p < kTernaryBlockBytes; ++p) {
        out[p] = static_cast<uint8_t>((digits[p] + 1) | (digits[p + 64] + 1) << 2 |
                                      (digits[p + 128] + 1) << 4 | (digits[p + 192] + 1) << 6);
    }
}

}  // namespace

void pack_ternary_row(const int8_t* digits, int64_t k, uint8_t* out) noexcept {
    const int64_t whole = k / kTernaryBlock;
    for (int64_t block = 0; block < whole; ++block) {
        pack_block(digits + block * kTernaryBlock, out + block * kTernaryBlockBytes);
    }
    const int64_t rest = k % kTernaryBlock;
    if (rest == 0) return;
    int8_t last[kTernaryBlock] = {};  // padding is weight 0
    std::memcpy(last, digits + whole * kTernaryBlock, static_cast<size_t>(rest));
    pack_block(last, out + whole * kTernaryBlockBytes);
}

void unpack_ternary_row(const uint8_t* packed, int64_t k, int8_t* digits) noexcept {
    for (int64_t t = 0; t < k; ++t) {
        const Place place = place_of(t);
        digits[t] = static_cast<int8_t>(((packed[place.byte] >> place.shift) & 3) - 1);
    }
}

}  // namespace bitnetd::kernels
