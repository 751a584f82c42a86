// The part of the self-check that looks at attention, and at how keys and values get their eight
// bits.
#include <algorithm>
#include <cmath>
#include <limits>

#include "worker/kernels/self_check_parts.h"
#include "worker/kernels/tables.h"

namespace bitnetd::kernels {
namespace {

constexpr int64_t kBeforeKeysBytes = 64;  // of a page, so that offsets of zero are told from none
using Page = std::vector<std::byte>;

// Appends count values as T has them.
template <typename T>
void append(Page& page, const T* values, int64_t count) {
    const auto* bytes = reinterpret_cast<const std::byte*>(values);
    page.insert(page.end(), bytes, bytes + count * static_cast<int64_t>(sizeof(T)));
}

void append_row(Page& page, const std::vector<float>& row, float) {
    append(page, row.data(), static_cast<int64_t>(row.size()));
}
void append_row(Page& page, const std::vector<float>& row, uint16_t) {
    std::vector<uint16_t> halves(row.size());
    reference::kTable.f32_to_f16(static_cast<int64_t>(row.size()), row.data(), halves.data());
    append(page, halves.data(), static_cast<int64_t>(halves.size()));
}
void append_row(Page& page, const std::vector<float>& row, int8_t) {
    std::vector<int8_t> codes(row.size());
    float scale = 0;
    reference::kTable.quantise_head(static_cast<int32_t>(row.size()), row.data(), codes.data(),
                                    &scale);
    append(page, codes.data(), static_cast<int64_t>(codes.size()));
}

// Keys and values of a page, as KvView describes it.
template <typename T>
Page page_of(const KvView& kv, Random& random) {
    Page page(kBeforeKeysBytes);
    for (int32_t head = 0; head < 2 * kv.kv_heads; ++head) {
        for (int32_t p = 0; p < kv.page_tokens; ++p) {
            std::vector<float> row = values(random, kv.head_dim);
            row.resize((row.size() + 15) / 16 * 16, 0.0f);
            append_row(page, row, T{});
        }
        if (sizeof(T) > 1) continue;
        const std::vector<float> scales = values(random, kv.page_tokens);
        append(page, scales.data(), kv.page_tokens);
    }
    return page;
}

template <typename T>
bool same_attention(Attention run, Attention reference, Random& random) {
    constexpr int32_t kHeadDims[] = {32, 64, 80, 96, 100, 128, 256};
    constexpr int32_t kPageTokens[] = {1, 7, 16, 32, 64};
    KvView kv{};
    kv.head_dim = kHeadDims[random.in(0, 6)];
    kv.page_tokens = kPageTokens[random.in(0, 4)];
    kv.kv_heads = random.in(1, 3);
    const int32_t heads = kv.kv_heads * random.in(1, 6);
    const int32_t count = random.in(1, 150);
    const int32_t first = random.one_in(2) ? 0 : random.in(0, count - 1);
    std::vector<Page> storage;
    for (int32_t i = 0; i < count; i += kv.page_tokens)
        storage.push_back(page_of<T>(kv, random));
    const auto page_bytes = static_cast<int64_t>(storage[0].size());
    kv.k_offset = kBeforeKeysBytes;
    kv.v_offset = kBeforeKeysBytes + (page_bytes - kBeforeKeysBytes) / 2;
    std::vector<const std::byte*> pages;
    for (const Page& page : storage)
        pages.push_back(page.data());
    for (int32_t i = 0; i < first / kv.page_tokens; ++i)
        pages[static_cast<size_t>(i)] = nullptr;  // before the window: not to be read
    kv.pages = pages.data();
    const int32_t begin = random.in(0, heads - 1);
    const int32_t end = random.in(begin, heads);
    const std::vector<float> q = values(random, static_cast<int64_t>(heads) * kv.head_dim);
    const float scale = 1.0f / std::sqrt(static_cast<float>(kv.head_dim));
    const auto result_of = [&](Attention one) {
        std::vector<float> out = output<float>(static_cast<int64_t>(heads) * kv.head_dim);
        one(kv, heads, begin, end, first, count, scale, q.data(), out.data());
        return out;
    };
    return same(result_of(run), result_of(reference));
}

// Rows of zeros, of specks and of the largest numbers among them; with an infinity only the scale
// is said, which is NaN.
bool same_quantise_head(const KernelTable& table, Random& random) {
    const int32_t head_dim = random.in(1, 300);
    const int64_t padded = (int64_t{head_dim} + 15) / 16 * 16;
    std::vector<float> x = values(random, head_dim);
    constexpr float kFactors[] = {0.0f, 1e-38f, 0x1p-100f, 1e36f, 1.0f, 1.0f, 1.0f};
    const float factor = kFactors[random.in(0, 6)];
    for (float& value : x)
        value *= factor;
    const bool endless = random.one_in(8);
    if (endless) {
        x[static_cast<size_t>(random.in(0, head_dim - 1))] = std::numeric_limits<float>::infinity();
    }
    std::vector<int8_t> q[2];
    std::vector<float> scale[2];
    const KernelTable* tables[2] = {&table, &reference::kTable};
    for (int i = 0; i < 2; ++i) {
        q[i] = output<int8_t>(padded);
        scale[i] = output<float>(1);
        tables[i]->quantise_head(head_dim, x.data(), q[i].data(), scale[i].data());
    }
    if (endless) return std::isnan(scale[0][0]) && std::isnan(scale[1][0]);
    return same(q[0], q[1]) && same(scale[0], scale[1]);
}

}  // namespace

const char* first_attention_difference(const KernelTable& table, Random& random) {
    const KernelTable& reference = reference::kTable;
    if (!same_quantise_head(table, random)) return "quantise_head";
    if (!same_attention<float>(table.attention_f32, reference.attention_f32, random))
        return "attention_f32";
    if (!same_attention<uint16_t>(table.attention_f16, reference.attention_f16, random))
        return "attention_f16";
    if (!same_attention<int8_t>(table.attention_int8, reference.attention_int8, random))
        return "attention_int8";
    return nullptr;
}

}  // namespace bitnetd::kernels
