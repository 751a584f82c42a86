#include "worker/prepare/float_rows.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/check.h"
#include "worker/kernels/tables.h"

namespace bitnetd::worker {
namespace {

void decode_f16(const std::byte* row, std::span<float> out) {
    std::vector<uint16_t> halves(out.size());
    std::memcpy(halves.data(), row, out.size() * sizeof(uint16_t));
    kernels::reference::kTable.f16_to_f32(static_cast<int64_t>(out.size()), halves.data(),
                                          out.data());
}

void decode_bf16(const std::byte* row, std::span<float> out) {
    for (size_t i = 0; i < out.size(); ++i) {
        out[i] = std::bit_cast<float>(uint32_t{load<uint16_t>(row + 2 * i)} << 16);
    }
}

// Blocks of 32 values: a half-precision scale, then signed bytes.
void decode_q8_0(const std::byte* row, std::span<float> out) {
    constexpr size_t kValues = 32;
    constexpr size_t kBytes = 34;
    for (size_t block = 0; block < out.size() / kValues; ++block) {
        const std::byte* at = row + block * kBytes;
        const auto half = load<uint16_t>(at);
        float scale = 0;
        kernels::reference::kTable.f16_to_f32(1, &half, &scale);
        for (size_t i = 0; i < kValues; ++i) {
            out[block * kValues + i] = static_cast<float>(load<int8_t>(at + 2 + i)) * scale;
        }
    }
}

}  // namespace

Result<void> decode_floats(quant::Type type, std::span<const std::byte> row, std::span<float> out) {
    switch (type) {
        case quant::Type::kF32:
            std::memcpy(out.data(), row.data(), out.size_bytes());
            break;
        case quant::Type::kF16:
            decode_f16(row.data(), out);
            break;
        case quant::Type::kBF16:
            decode_bf16(row.data(), out);
            break;
        case quant::Type::kQ8_0:
            decode_q8_0(row.data(), out);
            break;
        default:
            BITNETD_CHECK(!"a type that decode_floats knows");
    }
    const auto bad =
        std::find_if(out.begin(), out.end(), [](float x) { return !std::isfinite(x); });
    if (bad == out.end()) return {};
    return invalid("element " + std::to_string(bad - out.begin()) + " is not finite");
}

}  // namespace bitnetd::worker
