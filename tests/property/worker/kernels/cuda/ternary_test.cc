// Goal: both ternary products of the GPU give the reference's bits, alone and three in a launch,
//       with bias and added; and a row's result does not depend on what is computed beside it.
// Method: random odd shapes (k not a multiple of 256, n not of 16, m from 1 to some hundred) over
//       the emulation, each with another order of threads, guards around outputs; the largest sums
//       that there are; the same row alone and in every batch.
#include "tests/property/worker/kernels/cuda/shapes.h"

namespace bitnetd::kernels::cuda_emulated {
namespace {

constexpr const KernelTable& kReference = reference::kTable;
constexpr float kGuard = -12345.0f;

// What the engine wants of a product, by the reference.
void multiply_by_reference(int32_t m, const TernaryMatrix& w, RoundedRows& x, cuda::Store store,
                           float* y) {
    const int32_t n = w.matrix.rows;
    const auto padded = static_cast<int32_t>(ternary_padded(w.matrix.columns));
    std::vector<float> product(static_cast<size_t>(m) * static_cast<size_t>(n));
    kReference.ternary_gemm(m, n, padded, x.values.data(), x.sums.data(), x.scales.data(),
                            w.packed.data(), w.matrix.scale, product.data(), n);
    for (int64_t i = 0; i < m && w.matrix.bias != nullptr; ++i)
        kReference.add_in_place(n, w.matrix.bias, product.data() + i * n);
    if (store == cuda::Store::kAdd) {
        kReference.add_in_place(int64_t{m} * n, product.data(), y);
    } else {
        std::copy(product.begin(), product.end(), y);
    }
}

RoundedRows any_rows(Random& random, int32_t m, int32_t k) {
    const std::vector<float> x = reals(random, int64_t{m} * k);
    RoundedRows rounded(m, k);
    kReference.quantise_rows(m, k, x.data(), k, rounded.values.data(), rounded.scales.data(),
                             rounded.sums.data());
    return rounded;
}

void check(Random& random, int32_t m, int32_t k, const std::vector<int32_t>& outputs) {
    CUstream_st stream;
    RoundedRows x = any_rows(random, m, k);
    const auto store = static_cast<cuda::Store>(random.in(0, 1));
    std::vector<TernaryMatrix> matrices;
    std::vector<std::vector<float>> got;
    std::vector<std::vector<float>> want;
    std::vector<cuda::Product> products;
    for (const int32_t n : outputs) {
        matrices.emplace_back(random, n, k, random.one_in(2));
        got.push_back(reals(random, int64_t{m} * n));
        got.back().insert(got.back().end(), 16, kGuard);
        want.push_back(got.back());
        multiply_by_reference(m, matrices.back(), x, store, want.back().data());
    }
    for (size_t i = 0; i < outputs.size(); ++i)
        products.push_back({matrices[i].matrix, got[i].data()});
    table().multiply(&stream, m, products, cuda::Rounding::kRows, x.view(), nullptr, store);
    for (size_t i = 0; i < outputs.size(); ++i) {
        ASSERT_TRUE(same(got[i], want[i]))
            << "m=" << m << " n=" << outputs[i] << " k=" << k << " product " << i;
    }
}

TEST(CudaTernary, FewRowsAreTheReferences) {
    for_random_shapes(400, [](Random& random) {
        std::vector<int32_t> outputs;
        for (int32_t count = random.in(1, 3); count > 0; --count)
            outputs.push_back(random.in(1, 70));
        const int32_t k = random.in(1, random.one_in(20) ? 9000 : 900);
        check(random, random.in(1, 64), k, outputs);
    });
}

TEST(CudaTernary, ManyRowsAreTheReferences) {
    for_random_shapes(120, [](Random& random) {
        std::vector<int32_t> outputs;
        for (int32_t count = random.in(1, 3); count > 0; --count)
            outputs.push_back(random.in(1, 150));
        check(random, random.in(65, 200), random.in(1, random.one_in(4) ? 900 : 300), outputs);
    });
}

// Shapes with enough blocks for the large form.
TEST(CudaTernary, TheLargeBlockIsTheReferences) {
    for_random_shapes(2, [](Random& random) {
        check(random, random.in(385, 400), random.in(1, 300), {32 * 128 + random.in(1, 90)});
    });
}

TEST(CudaTernary, TheLargestSumsDoNotWrap) {
    for (const int32_t k : {4096, 131072}) {
        for (const int sign : {1, -1}) {
            for (const int32_t m : {1, 70}) {
                constexpr int32_t kOut = 3;
                CUstream_st stream;
                Random random(1);
                TernaryMatrix w(random, kOut, k, false);
                const std::vector<int8_t> digits(static_cast<size_t>(k), 1);
                for (int64_t j = 0; j < kOut; ++j)
                    pack_ternary_row(digits.data(), k, w.packed.data() + j * ternary_row_bytes(k));
                cuda::lay_out({reinterpret_cast<const std::byte*>(w.packed.data()),
                               cuda::MatrixKind::kTernary,
                               {},
                               kOut,
                               k},
                              0, kOut, w.device.data());
                w.matrix.scale = 1.0f;
                RoundedRows x(m, k);
                std::fill(x.values.begin(), x.values.end(), static_cast<int8_t>(127 * sign));
                std::fill(x.sums.begin(), x.sums.end(), 127 * sign * k);
                std::fill(x.scales.begin(), x.scales.end(), 1.0f);
                std::vector<float> y(static_cast<size_t>(m) * kOut);
                const cuda::Product product{w.matrix, y.data()};
                table().multiply(&stream, m, {&product, 1}, cuda::Rounding::kRows, x.view(),
                                 nullptr, cuda::Store::kSet);
                for (const float value : y)
                    ASSERT_EQ(value, static_cast<float>(127 * sign * k)) << k;
            }
        }
    }
}

TEST(CudaTernary, RowsDoNotDependOnTheBatch) {
    constexpr int32_t kRows = 150;
    constexpr int32_t kOut = 37;
    constexpr int32_t kIn = 300;
    const auto padded = static_cast<int64_t>(ternary_padded(kIn));
    Random random(5);
    CUstream_st stream;
    RoundedRows x = any_rows(random, kRows, kIn);
    const TernaryMatrix w(random, kOut, kIn, true);
    std::vector<float> whole(static_cast<size_t>(kRows) * kOut);
    const cuda::Product product{w.matrix, whole.data()};
    table().multiply(&stream, kRows, {&product, 1}, cuda::Rounding::kRows, x.view(), nullptr,
                     cuda::Store::kSet);
    for (const int32_t m : {1, 7, 9, 17, 33, 66, 130}) {
        for (const int32_t first : {0, kRows - m}) {
            std::vector<float> part(static_cast<size_t>(m) * kOut);
            const cuda::Product some{w.matrix, part.data()};
            table().multiply(
                &stream, m, {&some, 1}, cuda::Rounding::kRows,
                {x.values.data() + first * padded, x.scales.data() + first, x.sums.data() + first},
                nullptr, cuda::Store::kSet);
            const auto begin = whole.begin() + int64_t{first} * kOut;
            ASSERT_TRUE(same(part, std::vector<float>(begin, begin + int64_t{m} * kOut)))
                << "m=" << m << " first=" << first;
        }
    }
}

}  // namespace
}  // namespace bitnetd::kernels::cuda_emulated
