#include "common/quant/float_rows.h"

#include <algorithm>
#include <cmath>

#include "common/base/check.h"
#include "common/quant/float_families.h"

namespace bitnetd::quant {
namespace {

struct Row {
    Type type;
    FloatDecoder decoder;
};

constexpr Row kDecoders[] = {
    {Type::kF32, decode_f32},     {Type::kF16, decode_f16},     {Type::kBF16, decode_bf16},
    {Type::kQ8_0, decode_q8_0},   {Type::kQ4_0, decode_q4_0},   {Type::kQ4_1, decode_q4_1},
    {Type::kQ5_0, decode_q5_0},   {Type::kQ5_1, decode_q5_1},   {Type::kQ2_K, decode_q2_k},
    {Type::kQ3_K, decode_q3_k},   {Type::kQ4_K, decode_q4_k},   {Type::kQ5_K, decode_q5_k},
    {Type::kQ6_K, decode_q6_k},   {Type::kQ1_0, decode_q1_0},   {Type::kQ2_0, decode_q2_0},
    {Type::kTQ1_0, decode_tq1_0}, {Type::kTQ2_0, decode_tq2_0},
};

}  // namespace

FloatDecoder float_decoder(Type type) noexcept {
    for (const Row& row : kDecoders) {
        if (row.type == type) return row.decoder;
    }
    return nullptr;
}

void decode_floats(Type type, std::span<const std::byte> row, std::span<float> out) {
    const FloatDecoder decoder = float_decoder(type);
    const TypeInfo& info = info_of(type);
    const size_t blocks = out.size() / info.block_elements;
    BITNETD_CHECK(decoder != nullptr);
    BITNETD_CHECK(out.size() % info.block_elements == 0);
    BITNETD_CHECK(row.size() == blocks * info.block_bytes);
    decoder(row.data(), blocks, out.data());
}

std::optional<size_t> first_not_finite(std::span<const float> values) {
    const auto at =
        std::find_if(values.begin(), values.end(), [](float x) { return !std::isfinite(x); });
    if (at == values.end()) return std::nullopt;
    return static_cast<size_t>(at - values.begin());
}

}  // namespace bitnetd::quant
