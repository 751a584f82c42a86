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

}  // namespace

void pack_ternary_row(const int8_t* digits, int64_t k, uint8_t* out) noexcept {
    std::memset(out, 0, static_cast<size_t>(ternary_row_bytes(k)));
    for (int64_t t = 0; t < ternary_padded(k); ++t) {
        const int code = t < k ? digits[t] + 1 : 1;
        const Place place = place_of(t);
        out[place.byte] = static_cast<uint8_t>(out[place.byte] | code << place.shift);
    }
}

void unpack_ternary_row(const uint8_t* packed, int64_t k, int8_t* digits) noexcept {
    for (int64_t t = 0; t < k; ++t) {
        const Place place = place_of(t);
        digits[t] = static_cast<int8_t>(((packed[place.byte] >> place.shift) & 3) - 1);
    }
}

}  // namespace bitnetd::kernels
