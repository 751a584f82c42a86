// Goal: the eight-bit copy of the output matrix is Q8_0 as common/quant encodes it, and its errors
//       are upper bounds as tight as a float allows.
// Method: rows of random values of all magnitudes, halves that lie exactly between two codes, and
//       rows that eight bits cannot hold, against encode_floats() and sums in 80 bits.
#include "worker/prepare/pack_screen.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "common/quant/encode.h"
#include "common/quant/float_rows.h"
#include "worker/kernels/block_pack.h"

namespace bitnetd::worker {
namespace {

constexpr uint64_t kColumns = 160;
constexpr uint64_t kRows = 35;  // two stripes and a part of one

// The same by the plain functions; false when the type cannot hold the row.
bool pack_plainly(std::span<const float> row, uint64_t index, std::vector<std::byte>& codes,
                  std::vector<float>& held) {
    std::vector<std::byte> bytes(kColumns / 32 * 34);
    if (!quant::encode_floats(quant::Type::kQ8_0, row, bytes).ok()) return false;
    quant::BlockCodes numbers;
    quant::split_row(quant::Type::kQ8_0, bytes, kColumns, numbers);
    kernels::pack_block_row(kScreenFormat, numbers, static_cast<int64_t>(index),
                            reinterpret_cast<uint8_t*>(codes.data()));
    held.resize(kColumns);
    quant::decode_floats(quant::Type::kQ8_0, bytes, held);
    return true;
}

void expect_bound(float bound, long double squares) {
    const long double exact = std::sqrt(squares);
    EXPECT_GE(static_cast<long double>(bound), exact);
    EXPECT_LE(static_cast<long double>(bound),
              exact * (1 + 0x1p-22L) + 2 * std::numeric_limits<float>::denorm_min());
}

// Rows from make(index) in one matrix, packed both ways.
template <typename Make>
void expect_same(Make make) {
    const auto bytes =
        static_cast<size_t>(kernels::block_matrix_bytes(kScreenFormat, kRows, kColumns));
    std::vector<std::byte> codes(bytes), plain(bytes);
    ScreenPacker packer(kColumns);
    for (uint64_t i = 0; i < kRows; ++i) {
        const std::vector<float> row = make(i);
        float errors[2] = {};
        packer.pack(row, i, codes.data(), errors);
        std::vector<float> held;
        if (!pack_plainly(row, i, plain, held)) {
            EXPECT_EQ(errors[0], INFINITY);
            EXPECT_EQ(errors[1], INFINITY);
            continue;
        }
        long double error = 0, norm = 0;
        for (size_t t = 0; t < kColumns; ++t) {
            const long double rest = static_cast<long double>(row[t]) - held[t];
            error += rest * rest;
            norm += static_cast<long double>(held[t]) * held[t];
        }
        expect_bound(errors[0], error);
        expect_bound(errors[1], norm);
    }
    EXPECT_EQ(codes, plain);
}

TEST(PackScreen, IsQ8OfAnyMagnitude) {
    std::mt19937_64 random(1);
    std::normal_distribution<float> normal;
    for (const float scale : {1.0f, 0.02f, 1e-6f, 1e-30f, 1e-42f, 3e4f, 8e6f}) {
        expect_same([&](uint64_t) {
            std::vector<float> row(kColumns);
            for (float& value : row)
                value = scale * normal(random);
            return row;
        });
    }
}

TEST(PackScreen, RoundsHalvesAsTheTypeDoes) {
    expect_same([](uint64_t i) {
        std::vector<float> row(kColumns);
        for (size_t t = 0; t < kColumns; ++t) {
            const auto code = static_cast<float>((i * kColumns + t) % 254) - 127;
            float value = code + 0.5f;  // exactly between two codes where the largest is 127
            if (i % 3 == 1) value = std::nextafter(value, 0.0f);
            if (i % 3 == 2) value = std::nextafter(value, 200.0f);
            row[t] = t % 32 == 0 ? 127.0f : std::clamp(value, -127.0f, 127.0f);
        }
        return row;
    });
}

TEST(PackScreen, HoldsZerosAndGivesUpOnWhatIsTooLarge) {
    expect_same([](uint64_t i) {
        std::vector<float> row(kColumns, 0.0f);
        if (i % 4 == 1) row[i] = 1e9f;
        if (i % 4 == 2) row[i] = -0.0f;
        if (i % 4 == 3) row[kColumns - 1] = 65504.0f * 127.0f;
        return row;
    });
}

}  // namespace
}  // namespace bitnetd::worker
