// Goal: packing puts every weight where kernel_api.h says, pads with weight 0 and reads back.
// Method: rows of every length around block and field boundaries; single weights checked by hand.
#include "worker/kernels/ternary_pack.h"

#include <gtest/gtest.h>

#include <vector>

#include "worker/kernels/kernel_api.h"

namespace bitnetd::kernels {
namespace {

TEST(TernaryPack, PutsWeightsWhereTheContractSays) {
    constexpr uint8_t kZeros = 0x55;  // four weights 0
    for (int64_t t : {0, 1, 63, 64, 128, 192, 255, 256, 300, 511}) {
        std::vector<int8_t> digits(512, 0);
        digits[static_cast<size_t>(t)] = 1;
        std::vector<uint8_t> packed(static_cast<size_t>(ternary_row_bytes(512)));
        pack_ternary_row(digits.data(), 512, packed.data());
        const int64_t byte = t / 256 * 64 + t % 64;
        const int shift = static_cast<int>(t % 256 / 64) * 2;
        for (int64_t i = 0; i < 128; ++i) {
            const int want = i == byte ? kZeros + (1 << shift) : kZeros;
            ASSERT_EQ(packed[static_cast<size_t>(i)], want) << "weight " << t << " byte " << i;
        }
    }
}

TEST(TernaryPack, RoundTripsAndPadsWithZeroWeights) {
    for (int64_t k : {1, 2, 63, 64, 65, 255, 256, 257, 320, 600}) {
        std::vector<int8_t> digits(static_cast<size_t>(k));
        for (int64_t t = 0; t < k; ++t)
            digits[static_cast<size_t>(t)] = static_cast<int8_t>(t * 7 % 3 - 1);
        std::vector<uint8_t> packed(static_cast<size_t>(ternary_row_bytes(k)), 0xee);
        pack_ternary_row(digits.data(), k, packed.data());
        std::vector<int8_t> back(static_cast<size_t>(ternary_padded(k)), 9);
        unpack_ternary_row(packed.data(), ternary_padded(k), back.data());
        for (int64_t t = 0; t < ternary_padded(k); ++t) {
            ASSERT_EQ(back[static_cast<size_t>(t)], t < k ? digits[static_cast<size_t>(t)] : 0)
                << t;
        }
    }
}

TEST(TernaryPack, SizesAreWholeBlocks) {
    EXPECT_EQ(ternary_row_bytes(1), 64);
    EXPECT_EQ(ternary_row_bytes(256), 64);
    EXPECT_EQ(ternary_row_bytes(257), 128);
    EXPECT_EQ(ternary_row_bytes(6912), 1728);
    EXPECT_EQ(ternary_padded(257), 512);
}

}  // namespace
}  // namespace bitnetd::kernels
