// Goal: a page holds every row, and every scale of eight-bit rows, exactly once, each where vectors
// and floats may be read.
// Method: shapes of models and odd ones; each byte of a page is given to one row at most.
#include "worker/kv/kv_layout.h"

#include <gtest/gtest.h>

#include <vector>

namespace bitnetd::worker {
namespace {

constexpr KvShape kShapes[] = {
    {.layers = 1, .kv_heads = 1, .head_dim = 1, .type = KvType::kInt8},
    {.layers = 3, .kv_heads = 2, .head_dim = 20, .type = KvType::kInt8},
    {.layers = 2, .kv_heads = 5, .head_dim = 128, .type = KvType::kInt8},
    {.layers = 2, .kv_heads = 3, .head_dim = 100, .type = KvType::kF16},
    {.layers = 2, .kv_heads = 3, .head_dim = 100, .type = KvType::kF32},
};

// Takes bytes of a page, none of them twice.
class Page {
  public:
    explicit Page(uint64_t bytes) : taken_(bytes) {}

    void take(uint64_t begin, uint64_t bytes, uint64_t alignment) {
        ASSERT_EQ(begin % alignment, 0u);
        ASSERT_LE(begin + bytes, taken_.size());
        for (uint64_t at = begin; at < begin + bytes; ++at) {
            ASSERT_FALSE(taken_[at]) << "byte " << at << " twice";
            taken_[at] = true;
        }
        count_ += bytes;
    }
    uint64_t left() const { return taken_.size() - count_; }

  private:
    std::vector<bool> taken_;
    uint64_t count_ = 0;
};

TEST(KvLayoutRows, FillThePage) {
    for (const KvShape& shape : kShapes) {
        const KvLayout layout(shape);
        const KvFormat& format = format_of(shape.type);
        const uint64_t row_bytes = layout.head_dim_padded() * format.value_bytes;
        Page page(layout.page_bytes());
        for (uint32_t layer = 0; layer < shape.layers; ++layer) {
            for (const uint64_t half : {layout.k_offset(layer), layout.v_offset(layer)}) {
                for (uint32_t head = 0; head < shape.kv_heads; ++head) {
                    // Positions of a later page: where they lie in it repeats.
                    for (uint32_t p = 3 * kPageTokens; p < 4 * kPageTokens; ++p) {
                        page.take(half + layout.row_offset(head, p), row_bytes, 16);
                        if (format.scale_bytes == 0) continue;
                        page.take(half + layout.scale_offset(head, p), sizeof(float),
                                  alignof(float));
                    }
                }
            }
        }
        EXPECT_EQ(page.left(), 0u) << format.name << " " << shape.head_dim;
        EXPECT_EQ(layout.page_bytes() % 64, 0u) << "the next page is aligned too";
    }
}

TEST(KvLayoutRows, EightBitsTakeAQuarterAndAScale) {
    KvShape shape = {.layers = 30, .kv_heads = 5, .head_dim = 128, .type = KvType::kF32};
    const uint64_t floats = KvLayout(shape).page_bytes();
    shape.type = KvType::kInt8;
    EXPECT_EQ(KvLayout(shape).page_bytes(), floats / 4 + uint64_t{2} * 30 * 5 * kPageTokens * 4);
}

TEST(KvLayoutRows, TypesHaveTheNamesOfTheSetting) {
    EXPECT_EQ(kv_type_of("f32"), KvType::kF32);
    EXPECT_EQ(kv_type_of("f16"), KvType::kF16);
    EXPECT_EQ(kv_type_of("int8"), KvType::kInt8);
    EXPECT_DEATH(static_cast<void>(kv_type_of("f64")), "kv.type is checked");
}

}  // namespace
}  // namespace bitnetd::worker
