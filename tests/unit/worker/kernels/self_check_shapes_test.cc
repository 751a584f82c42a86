// Goal: what start-up compares reaches every path of a kernel that no developer's machine can run:
//       the shapes of the self-check include some for each.
// Method: a table that computes as the reference and writes down the shapes it was called with.
#include <gtest/gtest.h>

#include <vector>

#include "worker/kernels/self_check.h"
#include "worker/kernels/tables.h"

namespace bitnetd::kernels {
namespace {

struct Shape {
    int32_t m, n, k;
};
std::vector<Shape> shapes;

void noted(int32_t m, int32_t n, int32_t k_padded, const int8_t* q, const int32_t* q_sum,
           const float* x_scale, const uint8_t* w, float w_scale, float* y,
           int64_t y_stride) noexcept {
    shapes.push_back({m, n, k_padded});
    reference::kTable.ternary_gemm(m, n, k_padded, q, q_sum, x_scale, w, w_scale, y, y_stride);
}

template <typename Condition>
bool any(Condition condition) {
    for (const Shape& shape : shapes) {
        if (condition(shape.m, shape.n, shape.k)) return true;
    }
    return false;
}

// worker/kernels/amx: tiles of 16 by 16 sums, two by two where there is enough, sums that wait in
// memory between chunks of 512 columns, tails in both directions.
TEST(SelfCheckShapes, ReachEveryPathOfTiles) {
    shapes.clear();
    KernelTable table = reference::kTable;
    table.ternary_gemm = noted;
    ASSERT_EQ(self_check(table), nullptr);
    EXPECT_TRUE(any([](int m, int n, int k) { return m > 32 && n > 32 && k > 512; }));
    EXPECT_TRUE(
        any([](int m, int n, int) { return m % 32 > 16 && m > 4 && n > 0 && n % 32 <= 16; }));
    EXPECT_TRUE(any([](int m, int n, int) { return m > 32 && m % 32 <= 16 && n % 32 > 16; }));
    EXPECT_TRUE(any([](int m, int n, int) { return m > 4 && m < 16 && n < 16; }));
    EXPECT_TRUE(any([](int m, int, int) { return m <= 4; })) << "few rows";
}

}  // namespace
}  // namespace bitnetd::kernels
