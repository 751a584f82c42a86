// F32, F16, BF16: one element is one block.
#include <cstring>

#include "common/base/bytes.h"
#include "common/quant/float_families.h"
#include "common/quant/half.h"

namespace bitnetd::quant {

void decode_f32(const std::byte* blocks, size_t count, float* out) noexcept {
    if (count > 0) std::memcpy(out, blocks, count * sizeof(float));
}

void decode_f16(const std::byte* blocks, size_t count, float* out) noexcept {
    for (size_t i = 0; i < count; ++i)
        out[i] = half_to_float(load<uint16_t>(blocks + 2 * i));
}

void decode_bf16(const std::byte* blocks, size_t count, float* out) noexcept {
    for (size_t i = 0; i < count; ++i)
        out[i] = bf16_to_float(load<uint16_t>(blocks + 2 * i));
}

}  // namespace bitnetd::quant
