// Goal: a matrix of any block type, packed, still means the floats the file means, to the last bit,
//       in no more memory than was promised; and products with it are what arithmetic says.
// Method: matrices of random blocks of every type through split, pack and each kernel table of this
//       CPU: rows against the file's decoder, products against sums in double precision with the
//       error bounds of the formats involved.
#include "worker/kernels/block_pack.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "common/quant/float_rows.h"
#include "common/quant/half.h"
#include "worker/kernels/dispatch.h"

namespace bitnetd::kernels {
namespace {

struct Packing {
    quant::Type type;
    double bits_max;  // per weight of a large matrix
};

constexpr Packing kPackings[] = {
    {quant::Type::kQ4_0, 4.5}, {quant::Type::kQ4_1, 5.0}, {quant::Type::kQ5_0, 8.5},
    {quant::Type::kQ5_1, 9.0}, {quant::Type::kQ8_0, 8.5}, {quant::Type::kQ2_K, 5.2},
    {quant::Type::kQ3_K, 4.6}, {quant::Type::kQ4_K, 4.8}, {quant::Type::kQ5_K, 8.7},
    {quant::Type::kQ6_K, 8.7}, {quant::Type::kQ1_0, 4.5}, {quant::Type::kQ2_0, 4.5},
};

// Where the half-precision numbers of a block lie.
std::vector<size_t> halves_of(quant::Type type) {
    switch (type) {
        case quant::Type::kQ4_1:
        case quant::Type::kQ5_1:
        case quant::Type::kQ4_K:
        case quant::Type::kQ5_K:
            return {0, 2};
        case quant::Type::kQ2_K:
            return {80, 82};
        case quant::Type::kQ3_K:
            return {108};
        case quant::Type::kQ6_K:
            return {208};
        default:
            return {0};
    }
}

// n rows of k elements: random bytes with factors of a size that models have.
struct FileMatrix {
    FileMatrix(quant::Type of, size_t rows, size_t columns)
        : type(of), n(rows), k(columns), format(block_format_of(of).value()) {
        std::mt19937 random(static_cast<unsigned>(of) * 1000u + static_cast<unsigned>(columns));
        std::uniform_real_distribution<float> factor(-0.1f, 0.1f);
        const quant::TypeInfo& info = quant::info_of(type);
        row_bytes = k / info.block_elements * info.block_bytes;
        bytes.resize(n * row_bytes);
        for (std::byte& byte : bytes)
            byte = static_cast<std::byte>(random());
        for (size_t at = 0; at < bytes.size(); at += info.block_bytes) {
            for (const size_t half : halves_of(type)) {
                const uint16_t bits = quant::float_to_half(factor(random));
                std::memcpy(bytes.data() + at + half, &bits, sizeof bits);
            }
        }
        floats.resize(n * k);
        quant::decode_floats(type, bytes, floats);
        packed.resize(static_cast<size_t>(
            block_matrix_bytes(format, static_cast<int64_t>(n), static_cast<int64_t>(k))));
        quant::BlockCodes numbers;
        for (size_t j = 0; j < n; ++j) {
            quant::split_row(type, std::span(bytes).subspan(j * row_bytes, row_bytes), k, numbers);
            pack_block_row(format, numbers, static_cast<int64_t>(j), packed.data());
        }
    }

    int32_t rows() const { return static_cast<int32_t>(n); }
    int32_t columns() const { return static_cast<int32_t>(k); }

    quant::Type type;
    size_t n;
    size_t k;
    BlockFormat format;
    size_t row_bytes = 0;
    std::vector<std::byte> bytes;
    std::vector<float> floats;
    std::vector<uint8_t> packed;
};

class BlockPack : public ::testing::TestWithParam<Packing> {};

TEST_P(BlockPack, RowsAreTheFilesFloats) {
    for (const size_t k : {256u, 768u}) {
        const FileMatrix matrix(GetParam().type, 19, k);  // a whole stripe and a part of one
        for (const KernelTable* table : usable_tables()) {
            for (size_t j = 0; j < matrix.n; ++j) {
                std::vector<float> row(k);
                table->block_row(matrix.format, matrix.columns(), matrix.packed.data(),
                                 static_cast<int64_t>(j), row.data());
                ASSERT_EQ(std::memcmp(row.data(), &matrix.floats[j * k], k * sizeof(float)), 0)
                    << table->name << " row " << j;
            }
        }
    }
}

TEST_P(BlockPack, SizeIsAsPromised) {
    const BlockFormat format = block_format_of(GetParam().type).value();
    const double bits = 8.0 * static_cast<double>(block_matrix_bytes(format, 4096, 4096));
    EXPECT_LE(bits / (4096.0 * 4096.0), GetParam().bits_max);
    EXPECT_EQ(block_matrix_bytes(format, 17, 256), 2 * stripe_bytes(format, 256));
    EXPECT_EQ(block_matrix_bytes(format, 32, 256), 2 * stripe_bytes(format, 256));
}

// A sum of k terms in floats is off by at most k roundings of the sum of magnitudes.
TEST_P(BlockPack, MatmulIsTheProductOfTheFloats) {
    const FileMatrix matrix(GetParam().type, 21, 512);
    std::mt19937 random(3);
    std::normal_distribution<float> normal;
    constexpr size_t kRows = 3;
    std::vector<float> x(kRows * matrix.k);
    for (float& value : x)
        value = normal(random);
    for (const KernelTable* table : usable_tables()) {
        std::vector<float> y(kRows * matrix.n);
        table->block_matmul(matrix.format, kRows, matrix.rows(), matrix.columns(), x.data(),
                            matrix.packed.data(), y.data(), matrix.rows());
        for (size_t i = 0; i < kRows; ++i) {
            for (size_t j = 0; j < matrix.n; ++j) {
                double sum = 0;
                double magnitude = 0;
                for (size_t t = 0; t < matrix.k; ++t) {
                    const double term =
                        double{x[i * matrix.k + t]} * matrix.floats[j * matrix.k + t];
                    sum += term;
                    magnitude += std::fabs(term);
                }
                ASSERT_NEAR(y[i * matrix.n + j], sum,
                            static_cast<double>(matrix.k) * 0x1p-24 * magnitude);
            }
        }
    }
}

// The same with each activation replaced by q * d. 512 columns are at most 32 groups, each rounding
// the sum twice and the factors times d once: fewer than 100 roundings of the sum of magnitudes.
TEST_P(BlockPack, GemmIsTheProductWithQuantisedActivations) {
    const FileMatrix matrix(GetParam().type, 35, 512);
    const auto k = static_cast<int64_t>(matrix.k);
    std::mt19937 random(4);
    std::normal_distribution<float> normal;
    constexpr size_t kRows = 11;  // a group of eight, of two and of one
    std::vector<float> x(kRows * matrix.k);
    for (float& value : x)
        value = normal(random);
    for (const KernelTable* table : usable_tables()) {
        std::vector<int8_t> q(x.size());
        std::vector<float> d(x.size() / 32);
        std::vector<int32_t> q_sum(x.size() / 16);
        table->quantise_blocks(kRows, matrix.columns(), x.data(), k, q.data(), d.data(),
                               q_sum.data());
        std::vector<float> y(kRows * matrix.n);
        table->block_gemm(matrix.format, kRows, matrix.rows(), matrix.columns(), q.data(), d.data(),
                          q_sum.data(), matrix.packed.data(), y.data(), matrix.rows());
        for (size_t i = 0; i < kRows; ++i) {
            for (size_t j = 0; j < matrix.n; ++j) {
                double sum = 0;
                double magnitude = 0;
                for (size_t t = 0; t < matrix.k; ++t) {
                    const size_t at = i * matrix.k + t;
                    const double w = matrix.floats[j * matrix.k + t];
                    sum += double{d[at / 32]} * q[at] * w;
                    // In w an offset (at most 0.1 * 63) may cancel against its code's part; the two
                    // are summed apart.
                    magnitude += double{d[at / 32]} * std::abs(q[at]) * (std::fabs(w) + 13.0);
                }
                ASSERT_NEAR(y[i * matrix.n + j], sum, 100 * 0x1p-24 * magnitude);
            }
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Types, BlockPack, ::testing::ValuesIn(kPackings), [](const auto& tested) {
    return std::string(quant::name_of(tested.param.type));
});

TEST(BlockFormats, OtherTypesHaveNone) {
    EXPECT_EQ(block_format_of(quant::Type::kF16), std::nullopt);
    EXPECT_EQ(block_format_of(quant::Type::kI2_S), std::nullopt);
    EXPECT_EQ(block_format_of(quant::Type::kTQ2_0), std::nullopt);
}

// The layout promises what splitting gives, or packing could cut codes off.
TEST(BlockFormats, HoldEveryCodeOfTheirType) {
    for (const Packing& packing : kPackings) {
        const quant::BlockForm& form = *quant::block_form(packing.type);
        const BlockLayout& layout = layout_of(block_format_of(packing.type).value());
        EXPECT_EQ(layout.unit, form.unit);
        EXPECT_EQ(layout.group, form.group);
        EXPECT_EQ(layout.has_offsets, form.has_offsets);
        EXPECT_EQ(layout.has_scales(), form.has_scales);
        EXPECT_GE(form.code_min + layout.bias, 0);
        EXPECT_LE(form.code_max + layout.bias, layout.code_max);
        EXPECT_LT(layout.code_max, 1 << layout.code_bits);
    }
}

class QuantiseBlocks : public ::testing::TestWithParam<const KernelTable*> {
  protected:
    void run(const std::vector<float>& x) {
        const auto k = static_cast<int32_t>(x.size());
        q.assign(x.size(), 99);
        d.assign(x.size() / 32, 99.0f);
        q_sum.assign(x.size() / 16, 99);
        GetParam()->quantise_blocks(1, k, x.data(), k, q.data(), d.data(), q_sum.data());
    }

    std::vector<int8_t> q;
    std::vector<float> d;
    std::vector<int32_t> q_sum;
};

TEST_P(QuantiseBlocks, TiesGoToEvenAndTheLargestIs127) {
    std::vector<float> x(64, 0.0f);
    x[0] = -254.0f;  // d = 2
    x[1] = 1.0f;     // 0.5
    x[2] = 3.0f;     // 1.5
    x[3] = -5.0f;    // -2.5
    x[31] = 7.0f;    // 3.5
    x[40] = 1e-20f;  // alone in its block
    run(x);
    EXPECT_EQ(d[0], 2.0f);
    EXPECT_EQ((std::vector<int8_t>(q.begin(), q.begin() + 4)),
              (std::vector<int8_t>{-127, 0, 2, -2}));
    EXPECT_EQ(q[31], 4);
    EXPECT_EQ(q[40], 127);
    EXPECT_EQ(q_sum, (std::vector<int32_t>{-127, 4, 127, 0}));
}

TEST_P(QuantiseBlocks, NothingAndSpecksAreZero) {
    std::vector<float> x(64, 0.0f);
    x[32] = 1e-31f;
    x[33] = std::numeric_limits<float>::denorm_min();
    run(x);
    EXPECT_EQ(d, (std::vector<float>{0.0f, 0.0f}));
    EXPECT_EQ(q, std::vector<int8_t>(64, 0));
    EXPECT_EQ(q_sum, std::vector<int32_t>(4, 0));
}

// An overflow upstream must not be quantised away.
TEST_P(QuantiseBlocks, WhatIsNotFiniteShows) {
    for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity(),
                            -std::numeric_limits<float>::infinity()}) {
        for (const size_t at : {0u, 17u, 31u}) {
            std::vector<float> x(96, 1.0f);
            x[32 + at] = bad;
            run(x);
            EXPECT_EQ(d[0], 1.0f / 127.0f);
            EXPECT_TRUE(std::isnan(d[1])) << bad << " at " << at;
            EXPECT_EQ(d[2], 1.0f / 127.0f);
            for (const int8_t value : q)
                EXPECT_GE(value, -127);
        }
        run(std::vector<float>(32, bad));
        EXPECT_TRUE(std::isnan(d[0]));
    }
}

INSTANTIATE_TEST_SUITE_P(Usable, QuantiseBlocks,
                         ::testing::ValuesIn(usable_tables().begin(), usable_tables().end()),
                         [](const auto& tested) { return std::string(tested.param->name); });

}  // namespace
}  // namespace bitnetd::kernels
