#include "common/quant/block_codes.h"

#include "common/base/check.h"
#include "common/quant/block_families.h"

namespace bitnetd::quant {
namespace {

constexpr bool kScales = true;
constexpr bool kOffsets = true;

constexpr BlockFamily kFamilies[] = {
    {Type::kQ8_0, split_q8_0, {32, 32, !kScales, !kOffsets, -128, 127}},
    {Type::kQ4_0, split_q4_0, {32, 32, !kScales, !kOffsets, -8, 7}},
    {Type::kQ4_1, split_q4_1, {32, 32, !kScales, kOffsets, 0, 15}},
    {Type::kQ5_0, split_q5_0, {32, 32, !kScales, !kOffsets, -16, 15}},
    {Type::kQ5_1, split_q5_1, {32, 32, !kScales, kOffsets, 0, 31}},
    {Type::kQ2_K, split_q2_k, {256, 16, kScales, kOffsets, 0, 3}},
    {Type::kQ3_K, split_q3_k, {256, 16, kScales, !kOffsets, -4, 3}},
    {Type::kQ4_K, split_q4_k, {256, 32, kScales, kOffsets, 0, 15}},
    {Type::kQ5_K, split_q5_k, {256, 32, kScales, kOffsets, 0, 31}},
    {Type::kQ6_K, split_q6_k, {256, 16, kScales, !kOffsets, -32, 31}},
    {Type::kQ1_0, split_q1_0, {32, 32, !kScales, !kOffsets, -1, 1}},
    {Type::kQ2_0, split_q2_0, {32, 32, !kScales, !kOffsets, -1, 2}},
};

}  // namespace

const BlockFamily* block_family(Type type) noexcept {
    for (const BlockFamily& family : kFamilies) {
        if (family.type == type) return &family;
    }
    return nullptr;
}

const BlockForm* block_form(Type type) noexcept {
    const BlockFamily* family = block_family(type);
    return family == nullptr ? nullptr : &family->form;
}

void split_row(Type type, std::span<const std::byte> row, size_t columns, BlockCodes& out) {
    const BlockFamily* family = block_family(type);
    BITNETD_CHECK(family != nullptr);
    const TypeInfo& info = info_of(type);
    BITNETD_CHECK(columns % info.block_elements == 0);
    BITNETD_CHECK(row.size() == columns / info.block_elements * info.block_bytes);
    const BlockForm& form = family->form;
    out.codes.resize(columns);
    out.d.resize(columns / form.unit);
    out.m.assign(columns / form.unit, 0);
    out.scales.assign(columns / form.group, 1);
    out.minima.assign(columns / form.group, form.has_offsets ? 1 : 0);
    const std::byte* block = row.data();
    for (size_t at = 0; at < columns; at += info.block_elements, block += info.block_bytes) {
        family->split(block, {out.codes.data() + at, out.d.data() + at / form.unit,
                              out.m.data() + at / form.unit, out.scales.data() + at / form.group,
                              out.minima.data() + at / form.group});
    }
}

}  // namespace bitnetd::quant
