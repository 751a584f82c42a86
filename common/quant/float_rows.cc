#include "common/quant/float_rows.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "common/base/check.h"
#include "common/quant/block_families.h"
#include "common/quant/float_families.h"
#include "common/quant/half.h"

namespace bitnetd::quant {
namespace {

// The elements of one group: the order of operations of block_codes.h.
void decode_group(const BlockForm& form, float factor, float offset, const int8_t* codes,
                  float* out) noexcept {
    for (size_t i = 0; i < form.group; ++i) {
        const float product = factor * static_cast<float>(codes[i]);
        out[i] = form.has_offsets ? product + offset : product;
    }
}

template <Type kType>
void decode_blocks(const std::byte* blocks, size_t count, float* out) noexcept {
    const BlockFamily& family = *block_family(kType);
    const TypeInfo& info = info_of(kType);
    const BlockForm& form = family.form;
    int8_t codes[kBlockElementsMax];
    uint16_t d[kBlockElementsMax / 32];
    uint16_t m[kBlockElementsMax / 32] = {};
    int8_t scales[kBlockElementsMax / 16];
    int8_t minima[kBlockElementsMax / 16];
    std::fill(std::begin(scales), std::end(scales), int8_t{1});
    std::fill(std::begin(minima), std::end(minima), int8_t{1});
    for (size_t b = 0; b < count; ++b, blocks += info.block_bytes) {
        family.split(blocks, {codes, d, m, scales, minima});
        for (size_t at = 0; at < info.block_elements; at += form.group, out += form.group) {
            const size_t unit = at / form.unit;
            const size_t group = at / form.group;
            decode_group(form, half_to_float(d[unit]) * static_cast<float>(scales[group]),
                         half_to_float(m[unit]) * static_cast<float>(minima[group]), codes + at,
                         out);
        }
    }
}

struct Row {
    Type type;
    FloatDecoder decoder;
};

constexpr Row kDecoders[] = {
    {Type::kF32, decode_f32},
    {Type::kF16, decode_f16},
    {Type::kBF16, decode_bf16},
    {Type::kQ8_0, decode_blocks<Type::kQ8_0>},
    {Type::kQ4_0, decode_blocks<Type::kQ4_0>},
    {Type::kQ4_1, decode_blocks<Type::kQ4_1>},
    {Type::kQ5_0, decode_blocks<Type::kQ5_0>},
    {Type::kQ5_1, decode_blocks<Type::kQ5_1>},
    {Type::kQ2_K, decode_blocks<Type::kQ2_K>},
    {Type::kQ3_K, decode_blocks<Type::kQ3_K>},
    {Type::kQ4_K, decode_blocks<Type::kQ4_K>},
    {Type::kQ5_K, decode_blocks<Type::kQ5_K>},
    {Type::kQ6_K, decode_blocks<Type::kQ6_K>},
    {Type::kQ1_0, decode_blocks<Type::kQ1_0>},
    {Type::kQ2_0, decode_blocks<Type::kQ2_0>},
    {Type::kTQ1_0, decode_tq1_0},
    {Type::kTQ2_0, decode_tq2_0},
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
