// Goal: every float type decodes to exactly the floats its own dequantiser gives.
// Method: golden rows (quantised and random bytes) compared bit for bit, a few blocks worked out by
// hand from the description, all 65536 half-precision numbers against their definition.
#include "common/quant/float_rows.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "common/quant/half.h"
#include "tests/support/golden.h"

namespace bitnetd::quant {
namespace {

struct NamedType {
    const char* name;
    Type type;
};

constexpr NamedType kFloatTypes[] = {
    {"F16", Type::kF16},   {"BF16", Type::kBF16}, {"Q8_0", Type::kQ8_0},   {"Q4_0", Type::kQ4_0},
    {"Q4_1", Type::kQ4_1}, {"Q5_0", Type::kQ5_0}, {"Q5_1", Type::kQ5_1},   {"Q2_K", Type::kQ2_K},
    {"Q3_K", Type::kQ3_K}, {"Q4_K", Type::kQ4_K}, {"Q5_K", Type::kQ5_K},   {"Q6_K", Type::kQ6_K},
    {"Q1_0", Type::kQ1_0}, {"Q2_0", Type::kQ2_0}, {"TQ1_0", Type::kTQ1_0}, {"TQ2_0", Type::kTQ2_0},
};

class FloatRows : public ::testing::TestWithParam<NamedType> {};

void expect_golden(const std::filesystem::path& path, Type type) {
    const auto file = tests::read_json(path);
    const auto row_bytes = file["row_bytes"].get<size_t>();
    const auto columns = file["columns"].get<size_t>();
    for (const auto& set : file["sets"]) {
        const auto bytes = tests::from_hex(set["bytes_hex"]);
        const auto values = set["values"].get<std::vector<float>>();
        const auto rows = file["rows"].get<size_t>();
        ASSERT_EQ(bytes.size(), rows * row_bytes);
        ASSERT_EQ(values.size(), rows * columns);
        std::vector<float> row(columns);
        for (size_t r = 0; r < rows; ++r) {
            decode_floats(type, std::span(bytes).subspan(r * row_bytes, row_bytes), row);
            for (size_t i = 0; i < columns; ++i) {
                const float expected = values[r * columns + i];
                // Bit for bit: the two zeros are told apart.
                ASSERT_EQ(std::bit_cast<uint32_t>(row[i]), std::bit_cast<uint32_t>(expected))
                    << set["name"] << " row " << r << " element " << i << ": " << row[i]
                    << " instead of " << expected;
            }
        }
    }
}

TEST_P(FloatRows, Golden) {
    expect_golden(tests::golden_path("quant/" + std::string(GetParam().name) + ".json"),
                  GetParam().type);
}

TEST_P(FloatRows, GoldenFull) {
    const auto path = tests::large_golden_path("quant/" + std::string(GetParam().name) + ".json");
    if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not there";
    expect_golden(path, GetParam().type);
}

TEST_P(FloatRows, AllRowsAtOnceAreTheRowsOneByOne) {
    const auto file =
        tests::read_json(tests::golden_path("quant/" + std::string(GetParam().name) + ".json"));
    const auto bytes = tests::from_hex(file["sets"][0]["bytes_hex"]);
    const auto values = file["sets"][0]["values"].get<std::vector<float>>();
    std::vector<float> all(values.size());
    decode_floats(GetParam().type, bytes, all);
    EXPECT_EQ(all, values);
}

INSTANTIATE_TEST_SUITE_P(Types, FloatRows, ::testing::ValuesIn(kFloatTypes),
                         [](const auto& type) { return std::string(type.param.name); });

std::vector<float> decode(Type type, const std::string& hex) {
    const auto bytes = tests::from_hex(hex);
    std::vector<float> out(bytes.size() / info_of(type).block_bytes * info_of(type).block_elements);
    decode_floats(type, bytes, out);
    return out;
}

std::string repeat(const std::string& text, size_t count) {
    std::string out;
    while (count-- > 0)
        out += text;
    return out;
}

TEST(FloatRowsByHand, F32IsCopied) {
    EXPECT_EQ(decode(Type::kF32, "0000803f000000c0"), (std::vector<float>{1, -2}));
}

TEST(FloatRowsByHand, Q4_0) {
    // d = 0.5; byte 0 is 0xF0: element 0 has 0, element 16 has 15.
    const auto out = decode(Type::kQ4_0,
                            "0038"
                            "f0" +
                                repeat("88", 15));
    EXPECT_EQ(out[0], -4);
    EXPECT_EQ(out[16], 3.5f);
    EXPECT_EQ(out[1], 0);
}

TEST(FloatRowsByHand, Q5_1) {
    // d = 2, m = -1; bits 1 and 31 of qh set; nibbles all 1.
    const auto out = decode(Type::kQ5_1,
                            "0040"
                            "00bc"
                            "02000080" +
                                repeat("11", 16));
    EXPECT_EQ(out[0], 1);
    EXPECT_EQ(out[1], 33);
    EXPECT_EQ(out[31], 33);
}

TEST(FloatRowsByHand, Q1_0) {
    const auto out = decode(Type::kQ1_0,
                            "0040"
                            "05" +
                                repeat("00", 15));
    EXPECT_EQ(out[0], 2);
    EXPECT_EQ(out[1], -2);
    EXPECT_EQ(out[2], 2);
    EXPECT_EQ(out[127], -2);
}

TEST(FloatRowsByHand, Q2_0HasFourValues) {
    // 0xE4 = 11 10 01 00b.
    const auto out = decode(Type::kQ2_0, "003c" + repeat("e4", 16));
    EXPECT_EQ((std::vector<float>(out.begin(), out.begin() + 4)),
              (std::vector<float>{-1, 0, 1, 2}));
}

TEST(FloatRowsByHand, Tq1_0) {
    // 0x96 is the description's example, digits 1 2 0 2 1; d = 1.
    const auto out = decode(Type::kTQ1_0, repeat("96", 48) + repeat("96", 4) + "003c");
    const float expected[] = {0, 1, -1, 1, 0};
    for (size_t n = 0; n < 5; ++n) {
        EXPECT_EQ(out[n * 32], expected[n]);
        EXPECT_EQ(out[160 + n * 16], expected[n]);
    }
    for (size_t n = 0; n < 4; ++n)
        EXPECT_EQ(out[240 + n * 4], expected[n]);
}

TEST(FloatRowsByHand, TypesWithTheirScaleElsewhereHaveNoDecoder) {
    for (const Type type : {Type::kI2_S, Type::kTL1, Type::kTL2, Type::kIQ1_BN, Type::kIQ2_BN,
                            Type::kIQ2_BN_R4, Type::kPackedU8, Type::kMXFP4, Type::kI8}) {
        EXPECT_EQ(float_decoder(type), nullptr) << name_of(type);
    }
}

TEST(FloatRowsByHand, InfinitiesComeThroughAndAreFound) {
    const auto out = decode(Type::kF16, "003c007c");
    EXPECT_TRUE(std::isinf(out[1]));
    EXPECT_EQ(first_not_finite(out), 1u);
    EXPECT_EQ(first_not_finite(decode(Type::kF16, "003c007e")), 1u);
    EXPECT_EQ(first_not_finite(decode(Type::kF16, "003cff7b")), std::nullopt);
}

TEST(Half, EveryNumberIsItsDefinitionAndComesBack) {
    for (uint32_t bits = 0; bits < 0x10000; ++bits) {
        const auto half = static_cast<uint16_t>(bits);
        const int exponent = static_cast<int>(bits >> 10 & 31);
        const double mantissa = static_cast<double>(bits & 1023);
        const double sign = (bits & 0x8000) != 0 ? -1 : 1;
        const float value = half_to_float(half);
        if (exponent == 31) {
            if (mantissa == 0) {
                EXPECT_EQ(value, sign * std::numeric_limits<double>::infinity());
                EXPECT_EQ(float_to_half(value), half);
            } else {
                EXPECT_TRUE(std::isnan(value));
                EXPECT_TRUE(std::isnan(half_to_float(float_to_half(value))));
            }
            continue;
        }
        const double expected =
            exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
        ASSERT_EQ(static_cast<double>(value), sign * expected) << bits;
        ASSERT_EQ(std::signbit(value), sign < 0) << bits;
        ASSERT_EQ(float_to_half(value), half) << bits;
    }
}

TEST(Half, RoundsBetweenNeighboursToTheNearestAndTiesToEven) {
    for (uint32_t bits = 0; bits < 0x7BFF; ++bits) {
        const float low = half_to_float(static_cast<uint16_t>(bits));
        const float high = half_to_float(static_cast<uint16_t>(bits + 1));
        const float middle = low + (high - low) / 2;
        ASSERT_EQ(float_to_half(middle), bits + bits % 2) << bits;
        ASSERT_EQ(float_to_half(std::nextafter(middle, 0.0f)), bits) << bits;
        ASSERT_EQ(float_to_half(std::nextafter(middle, 1e6f)), bits + 1) << bits;
        ASSERT_EQ(float_to_half(-middle), 0x8000 + bits + bits % 2) << bits;
    }
    EXPECT_EQ(float_to_half(65519.996f), 0x7BFF);
    EXPECT_EQ(float_to_half(65520.0f), 0x7C00);
    EXPECT_EQ(float_to_half(1e30f), 0x7C00);
    EXPECT_EQ(float_to_half(1e-30f), 0);
}

TEST(Half, Bf16RoundsToNearestEvenAndKeepsNan) {
    EXPECT_EQ(float_to_bf16(1.0f), 0x3F80);
    EXPECT_EQ(float_to_bf16(std::bit_cast<float>(0x3F808000u)), 0x3F80);
    EXPECT_EQ(float_to_bf16(std::bit_cast<float>(0x3F818000u)), 0x3F82);
    EXPECT_EQ(float_to_bf16(std::bit_cast<float>(0x3F808001u)), 0x3F81);
    EXPECT_EQ(float_to_bf16(std::bit_cast<float>(0x7F800001u)), 0x7FC0);
    EXPECT_EQ(float_to_bf16(std::numeric_limits<float>::max()), 0x7F80);
    EXPECT_EQ(bf16_to_float(0xC000), -2.0f);
}

}  // namespace
}  // namespace bitnetd::quant
