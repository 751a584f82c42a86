// Goal: rows of every type that is read give exactly the values that their format defines, and what
// is no ternary matrix is refused.
// Method: the golden rows of tests/golden/quant (made by the types' original quantisers, or random
// bytes), and hand-made rows for each refusal.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "tests/support/golden.h"
#include "worker/prepare/float_rows.h"
#include "worker/prepare/ternary_rows.h"

namespace bitnetd::worker {
namespace {

using TypeId = quant::Type;

struct GoldenSet {
    std::string name;
    size_t rows;
    size_t columns;
    std::vector<std::byte> bytes;
    std::vector<float> values;
    std::vector<int> digits;    // empty for random bytes
    std::vector<float> scales;  // per row, or one
};

std::vector<GoldenSet> golden(const std::string& type) {
    const auto file = tests::read_json(tests::golden_path("quant/" + type + ".json"));
    std::vector<GoldenSet> out;
    for (const auto& set : file["sets"]) {
        out.push_back({set["name"], file["rows"], file["columns"],
                       tests::from_hex(set["bytes_hex"].get<std::string>()),
                       set["values"].get<std::vector<float>>(),
                       set.value("digits", std::vector<int>{}),
                       set.value("scales", std::vector<float>{})});
    }
    return out;
}

// Each row as a matrix of its own: the rows of the golden sets have different scales.
void expect_ternary_rows(TypeId type, const std::string& name) {
    for (const GoldenSet& set : golden(name)) {
        if (set.digits.empty()) continue;  // random bytes: every block has its own scale
        const size_t row_bytes = set.bytes.size() / set.rows;
        for (size_t row = 0; row < set.rows; ++row) {
            auto decoder = TernaryDecoder::create(type, {});
            ASSERT_TRUE(decoder.ok());
            std::vector<int8_t> digits(set.columns);
            const auto bytes = std::span(set.bytes).subspan(row * row_bytes, row_bytes);
            const auto decoded = decoder->decode(bytes, digits);
            ASSERT_TRUE(decoded.ok()) << decoded.error().message;
            for (size_t i = 0; i < set.columns; ++i) {
                ASSERT_EQ(digits[i], set.digits[row * set.columns + i]) << name << ' ' << i;
                ASSERT_EQ(static_cast<float>(digits[i]) * decoder->scale(),
                          set.values[row * set.columns + i]);
            }
        }
    }
}

void expect_float_rows(TypeId type, const std::string& name) {
    for (const GoldenSet& set : golden(name)) {
        std::vector<float> values(set.values.size());
        const auto decoded = decode_floats(type, set.bytes, values);
        ASSERT_TRUE(decoded.ok()) << name << ' ' << set.name << ": " << decoded.error().message;
        EXPECT_EQ(values, set.values) << name << ' ' << set.name;
    }
}

template <typename T>
std::vector<std::byte> as_row(const std::vector<T>& values) {
    std::vector<std::byte> out(values.size() * sizeof(T));
    std::memcpy(out.data(), values.data(), out.size());
    return out;
}

// The error of decoding one row after another as one matrix; empty when there is none.
std::string refusal(TypeId type, const std::vector<std::vector<std::byte>>& rows, size_t columns,
                    std::span<const std::byte> tail = {}) {
    auto decoder = TernaryDecoder::create(type, tail);
    if (!decoder.ok()) return decoder.error().message;
    std::vector<int8_t> digits(columns);
    for (const auto& row : rows) {
        if (auto decoded = decoder->decode(row, digits); !decoded) return decoded.error().message;
    }
    return "";
}

TEST(TernaryRows, Tq1GivesTheGoldenDigits) {
    expect_ternary_rows(TypeId::kTQ1_0, "TQ1_0");
}
TEST(TernaryRows, Tq2GivesTheGoldenDigits) {
    expect_ternary_rows(TypeId::kTQ2_0, "TQ2_0");
}

TEST(TernaryRows, I2SGivesTheGoldenDigits) {
    for (const GoldenSet& set : golden("I2_S")) {
        const size_t code_bytes = set.bytes.size() - 32;
        const std::span bytes(set.bytes);
        auto decoder = TernaryDecoder::create(TypeId::kI2_S, bytes.subspan(code_bytes));
        ASSERT_TRUE(decoder.ok());
        EXPECT_EQ(decoder->scale(), set.scales[0]);
        std::vector<int8_t> digits(set.digits.size());
        ASSERT_TRUE(decoder->decode(bytes.first(code_bytes), digits).ok());
        EXPECT_TRUE(std::equal(digits.begin(), digits.end(), set.digits.begin()));
    }
}

TEST(TernaryRows, I2SRefusesCode3AndOddScales) {
    std::vector<std::byte> tail(32);
    std::vector<std::byte> row(32, std::byte{0x55});
    row[5] = std::byte{0x5D};  // weight 5 + 64
    EXPECT_EQ(refusal(TypeId::kI2_S, {row}, 128, tail),
              "weight 69 has code 3, which stands for no ternary value");
    for (const float scale : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
        std::memcpy(tail.data(), &scale, sizeof scale);
        EXPECT_NE(refusal(TypeId::kI2_S, {}, 128, tail).find("its scale is"), std::string::npos);
    }
}

std::vector<std::byte> tq2_block(uint8_t codes, uint16_t half_scale) {
    std::vector<std::byte> block(64, std::byte{codes});
    block.push_back(static_cast<std::byte>(half_scale & 255));
    block.push_back(static_cast<std::byte>(half_scale >> 8));
    return block;
}

TEST(TernaryRows, Tq2NeedsOneScaleButAllowsBlocksOfZeros) {
    constexpr uint16_t kOne = 0x3C00;
    constexpr uint16_t kTwo = 0x4000;
    constexpr uint16_t kNan = 0x7E00;
    constexpr uint8_t kAllMinus = 0x00;
    EXPECT_EQ(refusal(TypeId::kTQ2_0, {tq2_block(kAllMinus, kOne), tq2_block(kAllMinus, 0)}, 256),
              "");
    EXPECT_EQ(
        refusal(TypeId::kTQ2_0, {tq2_block(kAllMinus, kOne), tq2_block(kAllMinus, kTwo)}, 256),
        "it has weights of magnitude 1 and 2; a ternary matrix has one");
    EXPECT_NE(refusal(TypeId::kTQ2_0, {tq2_block(kAllMinus, kNan)}, 256), "");
    EXPECT_NE(refusal(TypeId::kTQ2_0, {tq2_block(0xFF, kOne)}, 256), "");  // code 3
}

TEST(TernaryRows, BlockOfScaleZeroIsAllZeros) {
    auto decoder = TernaryDecoder::create(TypeId::kTQ2_0, {});
    ASSERT_TRUE(decoder.ok());
    std::vector<int8_t> digits(256, 7);
    ASSERT_TRUE(decoder->decode(tq2_block(0x00, 0), digits).ok());
    EXPECT_EQ(digits, std::vector<int8_t>(256, 0));
    EXPECT_EQ(decoder->scale(), 0);
}

TEST(TernaryRows, FloatsMustBeTernaryThemselves) {
    const auto good = as_row(std::vector<float>{0.5f, -0.5f, 0.0f, -0.0f});
    EXPECT_EQ(refusal(TypeId::kF32, {good, good}, 4), "");
    const auto other = as_row(std::vector<float>{0.5f, -0.5f, 0.0f, 0.25f});
    EXPECT_EQ(refusal(TypeId::kF32, {good, other}, 4),
              "it has weights of magnitude 0.5 and 0.25; a ternary matrix has one");
    const auto bfloat = as_row(std::vector<uint16_t>{0x3F00, 0xBF00, 0, 0x8000});
    EXPECT_EQ(refusal(TypeId::kBF16, {bfloat}, 4), "");
    const auto half = as_row(std::vector<uint16_t>{0x3800, 0xB800, 0, 0x3801});
    EXPECT_NE(refusal(TypeId::kF16, {half}, 4), "");
    const auto nan = as_row(std::vector<float>{std::nanf(""), 0, 0, 0});
    EXPECT_EQ(refusal(TypeId::kF32, {nan}, 4), "element 0 is not finite");
}

TEST(FloatRows, GiveTheGoldenValues) {
    expect_float_rows(TypeId::kF16, "F16");
    expect_float_rows(TypeId::kBF16, "BF16");
}

TEST(FloatRows, Q8IsByteTimesScale) {
    std::vector<std::byte> block(34);
    block[1] = std::byte{0x38};  // half 0.5
    for (size_t i = 0; i < 32; ++i)
        block[2 + i] = static_cast<std::byte>(i * 8);
    std::vector<float> values(32);
    ASSERT_TRUE(decode_floats(TypeId::kQ8_0, block, values).ok());
    for (size_t i = 0; i < 32; ++i) {
        EXPECT_EQ(values[i], 0.5f * static_cast<float>(static_cast<int8_t>(i * 8)));
    }
}

TEST(FloatRows, RefuseWhatIsNotFinite) {
    std::vector<float> out(2);
    EXPECT_TRUE(decode_floats(TypeId::kF32, as_row(std::vector<float>{1, -2}), out).ok());
    const auto infinite = as_row(std::vector<float>{1, std::numeric_limits<float>::infinity()});
    EXPECT_FALSE(decode_floats(TypeId::kF32, infinite, out).ok());
    EXPECT_FALSE(decode_floats(TypeId::kF16, as_row(std::vector<uint16_t>{0, 0x7C00}), out).ok());
    EXPECT_FALSE(decode_floats(TypeId::kBF16, as_row(std::vector<uint16_t>{0x7F80, 0}), out).ok());
}

}  // namespace
}  // namespace bitnetd::worker
