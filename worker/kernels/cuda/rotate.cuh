// The entry rotate_and_store: RopeNorm or RopeNeox of queries and keys in place, then keys and
// values into the rows' pages as float, half, or by QuantiseHead. A warp takes one head of q, k or
// v of one row. Bound by memory: q and k are read and written once, v read, pages written. Not
// measured on a device yet.
#pragma once

#include "worker/kernels/cuda/numbers.cuh"
#include "worker/kernels/cuda/pages.cuh"

namespace bitnetd::kernels::cuda {
namespace {

inline constexpr int32_t kRotateThreads = 128;
inline constexpr int32_t kRotateWarps = kRotateThreads / kWarp;

struct Rope {
    int32_t n_rot;
    bool is_neox;
    const float* cos_sin;  // [position][n_rot]: cosines, then sines
};

// What one launch works on; k and v are [m][kv_heads][head_dim], q [m][heads][head_dim].
struct HeadsOfRows {
    int32_t heads;
    float* q;
    float* k;
    const float* v;
};

BITNETD_DEVICE void rotate_head(const Rope& rope, uint32_t position, float* head) {
    const float* const cos = rope.cos_sin + int64_t{position} * rope.n_rot;
    const int32_t half = rope.n_rot / 2;
    for (int32_t p = lane_index(); p < half; p += kWarp) {
        float& first = rope.is_neox ? head[p] : head[2 * p];
        float& second = rope.is_neox ? head[p + half] : head[2 * p + 1];
        const float a = first;
        const float b = second;
        first = a * cos[p] - b * cos[half + p];
        second = a * cos[half + p] + b * cos[p];
    }
}

BITNETD_DEVICE float stored_as(float value, float) {
    return value;
}
BITNETD_DEVICE uint16_t stored_as(float value, uint16_t) {
    return float_to_half(value);
}

// Zeros behind head_dim.
template <typename T>
BITNETD_DEVICE void store_head(const float* head, int32_t head_dim, int32_t padded, T* to) {
    for (int32_t d = lane_index(); d < padded; d += kWarp)
        to[d] = d < head_dim ? stored_as(head[d], T{}) : T{};
}

// QuantiseHead of kernel_api.h: NaN is not larger than anything, and shows in the scale.
BITNETD_DEVICE void quantise_head(const float* head, int32_t head_dim, int32_t padded, int8_t* to,
                                  float& scale_to) {
    float largest = 0.0f;
    float seen = 0.0f;  // NaN from an infinity or NaN
    for (int32_t d = lane_index(); d < head_dim; d += kWarp) {
        largest = magnitude_of(head[d]) > largest ? magnitude_of(head[d]) : largest;
        seen += head[d] * 0.0f;
    }
    for (int32_t bits = kWarp / 2; bits >= 1; bits /= 2) {
        const float other = shuffle_xor(largest, bits);
        largest = other > largest ? other : largest;
        seen += shuffle_xor(seen, bits);
    }
    const bool none = largest < kBlockFloor;
    const float scale = none ? 0.0f : 127.0f / largest;
    for (int32_t d = lane_index(); d < padded; d += kWarp)
        to[d] = d < head_dim ? quantised(head[d], scale) : int8_t{0};
    if (lane_index() == 0) scale_to = (none ? 0.0f : largest / 127.0f) + seen;
}

template <typename T>
BITNETD_DEVICE void store(const float* head, const Pages& pages, const HeadRows<T>& rows,
                          int32_t in_page) {
    const int32_t padded = HeadRows<T>::row_values(pages);
    if constexpr (HeadRows<T>::kScaled) {
        quantise_head(head, pages.head_dim, padded, rows.row(in_page), rows.scale(in_page));
    } else {
        store_head(head, pages.head_dim, padded, rows.row(in_page));
    }
}

template <typename T>
BITNETD_KERNEL(kRotateThreads)
void rotate_and_store_kernel(const StepRow* rows, Pages pages, HeadsOfRows of, Rope rope) {
    wait_for_earlier_launches();
    const int64_t i = block_y();
    const int32_t item = block_x() * kRotateWarps + warp_index();
    if (item >= of.heads + 2 * pages.kv_heads) return;  // the whole warp
    const StepRow row = rows[i];
    const int64_t kv_row = i * pages.kv_heads * pages.head_dim;
    if (item < of.heads) {
        const int64_t head = i * of.heads + item;
        rotate_head(rope, row.position, of.q + head * pages.head_dim);
        return;
    }
    const auto page = static_cast<int32_t>(row.position / static_cast<uint32_t>(pages.page_tokens));
    const auto in_page =
        static_cast<int32_t>(row.position % static_cast<uint32_t>(pages.page_tokens));
    if (item < of.heads + pages.kv_heads) {
        const int32_t kv_head = item - of.heads;
        float* const head = of.k + kv_row + int64_t{kv_head} * pages.head_dim;
        rotate_head(rope, row.position, head);
        warp_barrier();  // other lanes store what this one has rotated
        store(head, pages, HeadRows<T>(pages, row, page, pages.k_offset, kv_head), in_page);
    } else {
        const int32_t kv_head = item - of.heads - pages.kv_heads;
        const float* const head = of.v + kv_row + int64_t{kv_head} * pages.head_dim;
        store(head, pages, HeadRows<T>(pages, row, page, pages.v_offset, kv_head), in_page);
    }
}

void rotate_and_store(Stream stream, int32_t m, const StepRow* rows, const Pages& pages,
                      int32_t heads, int32_t n_rot, bool is_neox, const float* cos_sin, float* q,
                      float* k, const float* v) noexcept {
    const int32_t items = heads + 2 * pages.kv_heads;
    const Grid grid{static_cast<uint32_t>(divided_up(items, kRotateWarps)),
                    static_cast<uint32_t>(m)};
    with_stored_type(pages, [&]<typename T>() {
        launch(stream, grid, kRotateThreads, 0, rotate_and_store_kernel<T>, rows, pages,
               HeadsOfRows{heads, q, k, v}, Rope{n_rot, is_neox, cos_sin});
    });
}

}  // namespace
}  // namespace bitnetd::kernels::cuda
