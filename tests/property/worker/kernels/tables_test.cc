// Goal: every kernel table that this CPU can run gives the reference's bits, for every entry.
// Method: first_difference() over thousands of seeds (odd shapes, tails, strides, pages, extreme
//       values, guards around outputs), then shapes it does not draw: the largest sums, long rows,
//       every tail of every entry. The seed is printed; BITNETD_SEED=n replays from it. That the
//       comparison itself can fail is tested with tables that are wrong in one entry each.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <random>
#include <vector>

#include "common/quant/half.h"
#include "worker/kernels/dispatch.h"
#include "worker/kernels/self_check.h"
#include "worker/kernels/tables.h"
#include "worker/kernels/ternary_pack.h"

namespace bitnetd::kernels {
namespace {

// With sanitizers one takes ten times as long, and what they look for needs fewer.
#ifdef __SANITIZE_ADDRESS__
constexpr int kSeedsPerTable = 300;
#else
constexpr int kSeedsPerTable = 2000;
#endif

uint64_t first_seed() {
    const char* replay = std::getenv("BITNETD_SEED");
    const uint64_t seed = replay ? std::strtoull(replay, nullptr, 10) : std::random_device{}();
    std::cout << "seed " << seed << " (BITNETD_SEED=" << seed << " replays it)\n";
    return seed;
}

class Tables : public ::testing::TestWithParam<const KernelTable*> {
  protected:
    const KernelTable& table() const { return *GetParam(); }
};

TEST_P(Tables, AgreeWithTheReference) {
    const uint64_t seed = first_seed();
    for (uint64_t i = 0; i < kSeedsPerTable; ++i) {
        const char* entry = first_difference(table(), seed + i);
        ASSERT_EQ(entry, nullptr) << entry << " differs; BITNETD_SEED=" << seed + i;
    }
}

// All codes 2 with |q| = 127 is the largest 16-bit pair sum; 4096 and more weights are where
// kernels that widen too late wrap.
TEST_P(Tables, TheLargestSumsDoNotWrap) {
    for (int32_t k : {4096, 4352, 8192, 16384, 131072}) {
        for (int sign : {1, -1}) {
            for (int32_t m : {1, 3, 4, 6}) {
                const std::vector<int8_t> digits(static_cast<size_t>(k), 1);
                constexpr int32_t kRows = 5;
                std::vector<uint8_t> w(static_cast<size_t>(kRows * ternary_row_bytes(k)));
                for (int32_t j = 0; j < kRows; ++j) {
                    pack_ternary_row(digits.data(), k, w.data() + j * ternary_row_bytes(k));
                }
                const std::vector<int8_t> q(static_cast<size_t>(m * k),
                                            static_cast<int8_t>(127 * sign));
                const std::vector<int32_t> q_sum(static_cast<size_t>(m), 127 * sign * k);
                const std::vector<float> scale(static_cast<size_t>(m), 1.0f);
                std::vector<float> y(static_cast<size_t>(m * kRows));
                table().ternary_gemm(m, kRows, k, q.data(), q_sum.data(), scale.data(), w.data(),
                                     1.0f, y.data(), kRows);
                for (float value : y)
                    ASSERT_EQ(value, static_cast<float>(127 * sign * k)) << k;
            }
        }
    }
}

// Row lengths and counts 1..40 for every entry that has a tail of its own.
TEST_P(Tables, EveryTailIsRight) {
    std::mt19937 random(5);
    std::uniform_real_distribution<float> real(-2.0f, 2.0f);
    std::vector<float> x(2 * 40);
    std::vector<float> w(9 * 40);
    for (float& value : x)
        value = real(random);
    for (float& value : w)
        value = real(random);
    for (int32_t k = 1; k <= 40; ++k) {
        for (int32_t n = 1; n <= 9; ++n) {
            std::vector<float> y(static_cast<size_t>(2 * n));
            std::vector<float> want(y.size());
            table().matmul_f32(2, n, k, x.data(), w.data(), y.data(), n);
            reference::kTable.matmul_f32(2, n, k, x.data(), w.data(), want.data(), n);
            ASSERT_EQ(y, want) << "matmul_f32 n=" << n << " k=" << k;
        }
        std::vector<float> gate(x.begin(), x.begin() + k);
        std::vector<float> want = gate;
        table().silu_gate(k, gate.data(), w.data());
        reference::kTable.silu_gate(k, want.data(), w.data());
        ASSERT_EQ(gate, want) << "silu_gate k=" << k;
        std::vector<float> norm(static_cast<size_t>(k));
        table().rms_norm(1, k, x.data(), k, w.data(), 1e-6f, norm.data(), k);
        reference::kTable.rms_norm(1, k, x.data(), k, w.data(), 1e-6f, want.data(), k);
        ASSERT_EQ(norm, want) << "rms_norm k=" << k;
    }
}

// Every half there is, NaN included: quiet, with the fraction that F16C keeps.
TEST_P(Tables, EveryHalfConverts) {
    std::vector<uint16_t> halves(65536);
    for (size_t i = 0; i < halves.size(); ++i)
        halves[i] = static_cast<uint16_t>(i);
    std::vector<float> floats(halves.size());
    std::vector<float> want(halves.size());
    table().f16_to_f32(65536, halves.data(), floats.data());
    reference::kTable.f16_to_f32(65536, halves.data(), want.data());
    ASSERT_EQ(std::memcmp(floats.data(), want.data(), floats.size() * 4), 0);
    std::vector<uint16_t> back(halves.size());
    table().f32_to_f16(65536, floats.data(), back.data());
    for (size_t i = 0; i < halves.size(); ++i) {
        const bool nan = (halves[i] & 0x7c00) == 0x7c00 && (halves[i] & 0x3ff) != 0;
        ASSERT_EQ(back[i], nan ? halves[i] | 0x200 : halves[i]) << i;
    }
}

// Every bfloat16 there is comes back; between neighbours floats are rounded as they are elsewhere.
TEST_P(Tables, EveryBf16Converts) {
    std::vector<Bf16> stored(65536);
    for (size_t i = 0; i < stored.size(); ++i)
        stored[i].bits = static_cast<uint16_t>(i);
    std::vector<float> floats(stored.size());
    table().bf16_to_f32(65536, stored.data(), floats.data());
    for (const uint32_t lower : {0x0000u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) {
        std::vector<float> between(floats.size());
        for (size_t i = 0; i < between.size(); ++i) {
            ASSERT_EQ(std::bit_cast<uint32_t>(floats[i]), static_cast<uint32_t>(i) << 16);
            between[i] = std::bit_cast<float>(static_cast<uint32_t>(i) << 16 | lower);
        }
        std::vector<Bf16> back(between.size());
        table().f32_to_bf16(65536, between.data(), back.data());
        for (size_t i = 0; i < back.size(); ++i)
            ASSERT_EQ(back[i].bits, quant::float_to_bf16(between[i])) << i << " " << lower;
    }
}

// The bits are compared with the reference's elsewhere; this says that they are the product's.
TEST_P(Tables, Bf16DotIsTheProduct) {
    if (table().matmul_bf16_dot == nullptr) GTEST_SKIP() << "this table has none";
    constexpr int32_t kRows = 5;
    constexpr int32_t kOut = 9;
    constexpr int32_t kIn = 333;
    std::mt19937 random(9);
    std::uniform_real_distribution<float> real(-2.0f, 2.0f);
    std::vector<Bf16> x(kRows * kIn);
    std::vector<Bf16> w(kOut * kIn);
    for (std::vector<Bf16>* one : {&x, &w}) {
        for (Bf16& value : *one)
            value.bits = quant::float_to_bf16(real(random));
    }
    std::vector<float> y(kRows * kOut);
    table().matmul_bf16_dot(kRows, kOut, kIn, x.data(), w.data(), y.data(), kOut);
    for (size_t i = 0; i < kRows; ++i) {
        for (size_t j = 0; j < kOut; ++j) {
            double sum = 0;
            double magnitude = 0;
            for (size_t t = 0; t < kIn; ++t) {
                const double term = double{quant::bf16_to_float(x[i * kIn + t].bits)} *
                                    quant::bf16_to_float(w[j * kIn + t].bits);
                sum += term;
                magnitude += std::fabs(term);
            }
            // A lane rounds 22 times, the tree four times.
            ASSERT_NEAR(y[i * kOut + j], sum, 26 * 0x1p-24 * magnitude);
        }
    }
}

// A row's result depends on that row alone: the same bits whatever the batch.
TEST_P(Tables, RowsDoNotDependOnTheBatch) {
    std::mt19937 random(7);
    constexpr int32_t kRows = 70;
    constexpr int32_t kOut = 11;
    constexpr int32_t kIn = 512;
    std::vector<float> x(kRows * kIn);
    for (float& value : x)
        value = std::uniform_real_distribution<float>(-3.0f, 3.0f)(random);
    std::vector<uint8_t> w(static_cast<size_t>(kOut * ternary_row_bytes(kIn)));
    for (uint8_t& byte : w)
        byte = static_cast<uint8_t>((random() % 3) * 0x55);
    std::vector<int8_t> q(x.size());
    std::vector<float> scale(kRows);
    std::vector<int32_t> sum(kRows);
    table().quantise_rows(kRows, kIn, x.data(), kIn, q.data(), scale.data(), sum.data());
    std::vector<float> whole(kRows * kOut);
    table().ternary_gemm(kRows, kOut, kIn, q.data(), sum.data(), scale.data(), w.data(), 0.7f,
                         whole.data(), kOut);
    for (int32_t m : {1, 2, 3, 4, 5, 9}) {
        for (int32_t i = 0; i + m <= kRows; i += m) {
            std::vector<float> part(static_cast<size_t>(m * kOut));
            table().ternary_gemm(m, kOut, kIn, q.data() + i * kIn, sum.data() + i, scale.data() + i,
                                 w.data(), 0.7f, part.data(), kOut);
            ASSERT_EQ(std::memcmp(part.data(), whole.data() + i * kOut, part.size() * 4), 0)
                << "m=" << m << " i=" << i;
        }
    }
}

// Codes and activations at their ends, so that nothing that is summed in 16 bits may wrap or
// saturate: every code the largest or the least, every |q| 127. Each unit then adds the same.
TEST_P(Tables, TheLargestBlockSumsDoNotWrap) {
    for (int f = 0; f < kBlockFormats; ++f) {
        const auto format = static_cast<BlockFormat>(f);
        const BlockLayout& layout = layout_of(format);
        const int32_t k = 2 * layout.unit;
        for (const int32_t code : {0, layout.code_max}) {
            for (const int8_t q : {int8_t{127}, int8_t{-127}}) {
                constexpr uint16_t kOne = 0x3c00;
                std::vector<uint8_t> w(static_cast<size_t>(block_matrix_bytes(format, 16, k)));
                for (size_t at = 0; at < w.size(); at += static_cast<size_t>(layout.unit_bytes())) {
                    for (int32_t lane = 0; lane < kStripeRows; ++lane)
                        std::memcpy(&w[at + 2 * static_cast<size_t>(lane)], &kOne, sizeof kOne);
                    for (int32_t i = layout.scales_at(); i < layout.minima_at(); ++i)
                        w[at + static_cast<size_t>(i)] = 1;
                    for (int32_t i = layout.codes_at(); i < layout.unit_bytes(); ++i) {
                        const int32_t byte = layout.code_bits == 4 ? code * 0x11 : code;
                        w[at + static_cast<size_t>(i)] = static_cast<uint8_t>(byte);
                    }
                }
                constexpr int32_t kRows = 9;
                const std::vector<int8_t> x(static_cast<size_t>(kRows * k), q);
                const std::vector<float> d(x.size() / 32, 1.0f);
                const std::vector<int32_t> q_sum(x.size() / 16, 16 * q);
                std::vector<float> y(kRows * kStripeRows);
                table().block_gemm(format, kRows, kStripeRows, k, x.data(), d.data(), q_sum.data(),
                                   w.data(), y.data(), kStripeRows);
                for (const float value : y)
                    ASSERT_EQ(value, static_cast<float>(k * q * (code - layout.bias))) << f;
            }
        }
    }
}

// The same for block matrices, in every format.
TEST_P(Tables, BlockRowsDoNotDependOnTheBatch) {
    constexpr int32_t kRows = 21;
    constexpr int32_t kOut = 23;
    constexpr int32_t kIn = 256;
    std::mt19937 random(8);
    std::vector<float> x(kRows * kIn);
    for (float& value : x)
        value = std::uniform_real_distribution<float>(-3.0f, 3.0f)(random);
    std::vector<int8_t> q(x.size());
    std::vector<float> d(x.size() / 32);
    std::vector<int32_t> q_sum(x.size() / 16);
    table().quantise_blocks(kRows, kIn, x.data(), kIn, q.data(), d.data(), q_sum.data());
    for (int f = 0; f < kBlockFormats; ++f) {
        const auto format = static_cast<BlockFormat>(f);
        std::vector<uint8_t> w(static_cast<size_t>(block_matrix_bytes(format, kOut, kIn)));
        for (uint8_t& byte : w)  // factors of all sizes, none of them infinite; codes within bounds
            byte =
                static_cast<uint8_t>(random() & (layout_of(format).code_bits == 8 ? 0x1f : 0x33));
        std::vector<float> gemm(kRows * kOut);
        std::vector<float> matmul(gemm.size());
        table().block_gemm(format, kRows, kOut, kIn, q.data(), d.data(), q_sum.data(), w.data(),
                           gemm.data(), kOut);
        table().block_matmul(format, kRows, kOut, kIn, x.data(), w.data(), matmul.data(), kOut);
        for (const int32_t m : {1, 2, 3, 5, 8, 11}) {
            for (int32_t i = 0; i + m <= kRows; i += m) {
                std::vector<float> part(static_cast<size_t>(m * kOut));
                table().block_gemm(format, m, kOut, kIn, q.data() + i * kIn,
                                   d.data() + i * kIn / 32, q_sum.data() + i * kIn / 16, w.data(),
                                   part.data(), kOut);
                ASSERT_EQ(std::memcmp(part.data(), &gemm[static_cast<size_t>(i * kOut)],
                                      part.size() * sizeof(float)),
                          0)
                    << f << " m=" << m << " i=" << i;
                table().block_matmul(format, m, kOut, kIn, x.data() + i * kIn, w.data(),
                                     part.data(), kOut);
                ASSERT_EQ(std::memcmp(part.data(), &matmul[static_cast<size_t>(i * kOut)],
                                      part.size() * sizeof(float)),
                          0)
                    << f << " m=" << m << " i=" << i;
            }
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Usable, Tables,
                         ::testing::ValuesIn(usable_tables().begin(), usable_tables().end()),
                         [](const auto& tested) { return std::string(tested.param->name); });

}  // namespace
}  // namespace bitnetd::kernels
