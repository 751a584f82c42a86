// Rows of keys and values in the pages of worker/kv/kv_layout.h, as kernel_api.h's KvView
// describes them.
#pragma once

#include "worker/kernels/cuda/device_ops.cuh"

namespace bitnetd::kernels::cuda {
namespace {

// The keys, or the values, of one head in one page. T is what they are stored as; rows of int8
// have a scale each behind the rows.
template <typename T>
class HeadRows {
  public:
    static constexpr bool kScaled = sizeof(T) == 1;

    // Values of a row, with its padding.
    static BITNETD_DEVICE int32_t row_values(const Pages& pages) {
        return (pages.head_dim + 15) / 16 * 16;
    }

    // offset: pages.k_offset or pages.v_offset.
    BITNETD_DEVICE HeadRows(const Pages& pages, const StepRow& row, int32_t page, int64_t offset,
                            int32_t kv_head)
        : row_values_(row_values(pages)), page_tokens_(pages.page_tokens) {
        const int64_t values = int64_t{page_tokens_} * row_values_;
        const int64_t head_bytes = values * sizeof(T) + (kScaled ? 4 * page_tokens_ : 0);
        std::byte* const from = pages.tables[int64_t{row.table} * pages.table_pages + page];
        first_ = from + offset + kv_head * head_bytes;
    }

    BITNETD_DEVICE T* row(int32_t in_page) const {
        return reinterpret_cast<T*>(first_) + int64_t{in_page} * row_values_;
    }
    // Of rows that have one.
    BITNETD_DEVICE float& scale(int32_t in_page) const {
        return *(reinterpret_cast<float*>(row(page_tokens_)) + in_page);
    }

  private:
    int32_t row_values_;
    int32_t page_tokens_;
    std::byte* first_;
};

// Calls run.template operator()<stored type>().
template <typename Run>
void with_stored_type(const Pages& pages, const Run& run) {
    if (pages.value_bytes == 4) return run.template operator()<float>();
    if (pages.value_bytes == 2) return run.template operator()<uint16_t>();
    return run.template operator()<int8_t>();
}

}  // namespace
}  // namespace bitnetd::kernels::cuda
