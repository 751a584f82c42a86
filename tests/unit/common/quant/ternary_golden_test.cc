// Goal: every ternary type gives exactly the digits and scales that were packed into it.
// Method: golden rows of each type; matrices packed here by the formulas (packers.h), whose bytes
// are first checked against the published checksums, so that packer and decoder are both held to
// them.
#include <gtest/gtest.h>

#include "common/quant/encode.h"
#include "common/quant/ternary_matrix.h"
#include "tests/support/golden.h"
#include "tests/unit/common/quant/packers.h"

namespace bitnetd::quant {
namespace {

using testing::Bytes;
using testing::Matrix;

struct Decoded {
    std::vector<int8_t> digits;
    std::vector<float> scales;
};

Result<Decoded> decode_all(Type type, Shape shape, std::span<const std::byte> bytes,
                           const TernaryOptions& options = {}) {
    BITNETD_ASSIGN(const auto matrix, open_ternary(type, shape, read_from(bytes), options));
    Decoded out;
    out.digits.resize(static_cast<size_t>(shape.rows * shape.columns));
    out.scales.resize(matrix->scale_count(shape.rows));
    BITNETD_TRY(matrix->read_rows(0, shape.rows, out.digits, out.scales));
    return out;
}

std::string hex(std::span<const std::byte> bytes) {
    std::string out;
    for (const std::byte byte : bytes) {
        char two[3];
        std::snprintf(two, sizeof two, "%02x", std::to_integer<unsigned>(byte));
        out += two;
    }
    return out;
}

struct NamedType {
    const char* name;
    Type type;
};

class TernaryRows : public ::testing::TestWithParam<NamedType> {};

TEST_P(TernaryRows, Golden) {
    const auto file =
        tests::read_json(tests::golden_path("quant/" + std::string(GetParam().name) + ".json"));
    const Shape shape{file["rows"].get<uint64_t>(), file["columns"].get<uint64_t>()};
    const auto& set = file["sets"][0];
    ASSERT_EQ(set["name"], "quantised");
    const auto bytes = tests::from_hex(set["bytes_hex"]);
    ASSERT_EQ(matrix_bytes(GetParam().type, shape).value(), bytes.size());

    const auto decoded = decode_all(GetParam().type, shape, bytes);
    ASSERT_TRUE(decoded.ok()) << decoded.error().message;
    EXPECT_EQ(decoded->digits, set["digits"].get<std::vector<int8_t>>());
    const auto values = set["values"].get<std::vector<float>>();
    const size_t per_scale = values.size() / decoded->scales.size();
    for (size_t i = 0; i < values.size(); ++i) {
        ASSERT_EQ(static_cast<float>(decoded->digits[i]) * decoded->scales[i / per_scale],
                  values[i])
            << i;
    }
}

INSTANTIATE_TEST_SUITE_P(
    Types, TernaryRows,
    ::testing::Values(NamedType{"I2_S", Type::kI2_S}, NamedType{"TQ1_0", Type::kTQ1_0},
                      NamedType{"TQ2_0", Type::kTQ2_0}, NamedType{"IQ1_BN", Type::kIQ1_BN},
                      NamedType{"IQ2_BN", Type::kIQ2_BN}, NamedType{"IQ2_BN_R4", Type::kIQ2_BN_R4}),
    [](const auto& type) { return std::string(type.param.name); });

struct NamedTiledType {
    const char* name;
    Type type;
};

class TiledRows : public ::testing::TestWithParam<NamedTiledType> {};

Tile tile_of(const nlohmann::json& row) {
    return {row["BM"].get<uint32_t>(), row["BK"].get<uint32_t>(), row["bm"].get<uint32_t>()};
}

std::vector<int8_t> two_bit_digits(const std::string& text, size_t count) {
    const auto bytes = tests::from_hex(text);
    std::vector<int8_t> out(count);
    for (size_t i = 0; i < count; ++i) {
        const unsigned code = std::to_integer<unsigned>(bytes.at(i / 4)) >> (2 * (i % 4)) & 3;
        out[i] = static_cast<int8_t>(static_cast<int>(code) - 1);
    }
    return out;
}

TEST_P(TiledRows, Golden) {
    const auto file =
        tests::read_json(tests::golden_path("quant/" + std::string(GetParam().name) + ".json"));
    for (const auto& set : file["sets"]) {
        const Shape shape{set["rows"].get<uint64_t>(), set["columns"].get<uint64_t>()};
        SCOPED_TRACE(to_string(shape));
        const auto bytes = tests::from_hex(set["bytes_hex"]);
        ASSERT_EQ(matrix_bytes(GetParam().type, shape).value(), bytes.size());
        TernaryOptions options;
        options.tiles = {{shape, tile_of(set)}};
        const auto decoded = decode_all(GetParam().type, shape, bytes, options);
        ASSERT_TRUE(decoded.ok()) << decoded.error().message;
        EXPECT_EQ(decoded->scales, std::vector<float>{set["scale"].get<float>()});
        EXPECT_EQ(decoded->digits,
                  two_bit_digits(set["digits_base3_hex"], shape.rows * shape.columns));
    }
}

// Every published shape: our packer makes the published bytes, the built-in tile reads them back.
void expect_published_tiles(const nlohmann::json& tables, Type type, uint64_t elements_max) {
    size_t tested = 0;
    for (const auto& row : tables) {
        const Shape shape{row["rows"].get<uint64_t>(), row["columns"].get<uint64_t>()};
        if (shape.rows * shape.columns > elements_max) continue;
        SCOPED_TRACE(to_string(shape));
        const Matrix weights = testing::published_weights(shape);
        Bytes bytes = type == Type::kTL1 ? testing::pack_tl1(weights, tile_of(row))
                                         : testing::pack_tl2(weights, tile_of(row));
        ASSERT_EQ(bytes.size(), row["code_bytes"].get<size_t>());
        char crc[9];
        std::snprintf(crc, sizeof crc, "%08x", testing::crc32(bytes));
        ASSERT_EQ(crc, row["crc32"].get<std::string>());
        ASSERT_EQ(hex(std::span(bytes).first(8)), row["first8"].get<std::string>());
        bytes = type == Type::kTL1 ? testing::add_tail(std::move(bytes), 0.5f)
                                   : testing::add_tl2_end(std::move(bytes), shape, 0.5f);
        const auto decoded = decode_all(type, shape, bytes);
        ASSERT_TRUE(decoded.ok()) << decoded.error().message;
        EXPECT_EQ(decoded->scales, std::vector<float>{0.5f});
        EXPECT_TRUE(decoded->digits == weights.digits);
        ++tested;
    }
    EXPECT_GE(tested, 1u);
}

TEST_P(TiledRows, PublishedTilesOfSmallShapes) {
    const auto file =
        tests::read_json(tests::golden_path("quant/" + std::string(GetParam().name) + ".json"));
    expect_published_tiles(file["tables"], GetParam().type, 1536 * 1536);
}

TEST_P(TiledRows, PublishedTilesGoldenFull) {
    const auto path = tests::large_golden_path("quant/" + std::string(GetParam().name) + ".json");
    if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not there";
    expect_published_tiles(tests::read_json(path)["tables"], GetParam().type, UINT64_MAX);
}

INSTANTIATE_TEST_SUITE_P(Types, TiledRows,
                         ::testing::Values(NamedTiledType{"TL1", Type::kTL1},
                                           NamedTiledType{"TL2", Type::kTL2}),
                         [](const auto& type) { return std::string(type.param.name); });

// The vectors of the description's section 10: scale 1, 64 rows.
struct Published {
    const char* name;
    uint64_t columns;
    size_t byte_count;
    uint32_t crc;
    const char* first8;
    Type type;
    std::function<Bytes(const Matrix&)> pack;
    // What stands behind the checked bytes in a file.
    std::function<Bytes(Bytes, Shape)> end = [](Bytes bytes, Shape) { return bytes; };
    TernaryOptions options = {};
};

Bytes encode_rows(Type type, const Matrix& weights) {
    Bytes out;
    const uint64_t columns = weights.shape.columns;
    const TypeInfo& info = info_of(type);
    for (uint64_t row = 0; row < weights.shape.rows; ++row) {
        Bytes bytes(static_cast<size_t>(columns / info.block_elements * info.block_bytes));
        const auto digits = std::span(weights.digits).subspan(row * columns, columns);
        EXPECT_TRUE(encode_digits(type, digits, 1.0f, bytes).ok());
        out.insert(out.end(), bytes.begin(), bytes.end());
    }
    return out;
}

std::vector<Published> published() {
    const auto one = [](uint64_t) { return 1.0f; };
    const auto tail = [](Bytes bytes, Shape) { return testing::add_tail(std::move(bytes), 1.0f); };
    const auto tl2_end = [](Bytes bytes, Shape shape) {
        return testing::add_tl2_end(std::move(bytes), shape, 1.0f);
    };
    const Tile tl1{64, 128, 32};
    const Tile tl2{32, 192, 32};
    TernaryOptions with_tl1;
    with_tl1.tiles = {{{64, 256}, tl1}};
    TernaryOptions with_tl2;
    with_tl2.tiles = {{{64, 448}, tl2}};
    const auto encoded = [](Type type) {
        return [type](const Matrix& m) { return encode_rows(type, m); };
    };
    return {
        {"I2_S", 512, 8192, 0x0022763b, "52896a4a1925a221", Type::kI2_S, encoded(Type::kI2_S),
         tail},
        {"I2_S by formula", 512, 8192, 0x0022763b, "52896a4a1925a221", Type::kI2_S,
         [](const Matrix& m) { return testing::pack_i2_s(m, 128); }, tail},
        {"TQ2_0", 512, 8448, 0x17ae0280, "8562a9a164588a48", Type::kTQ2_0, encoded(Type::kTQ2_0)},
        {"TQ1_0", 512, 6912, 0xe9adea74, "7bc2a86f3547ec3f", Type::kTQ1_0, encoded(Type::kTQ1_0)},
        {"IQ2_BN", 512, 8448, 0x0b225f9d, "0000803f954aa909", Type::kIQ2_BN,
         [one](const Matrix& m) { return testing::pack_iq2_bn(m, one); }},
        {"IQ1_BN", 512, 6784, 0xd5f7c440, "003c2e5c1a543a90", Type::kIQ1_BN,
         [one](const Matrix& m) { return testing::pack_iq1_bn(m, one); }},
        {"HF packed", 512, 8192, 0x679eada2, "a1a281058820a214", Type::kPackedU8, testing::pack_u8},
        {"TL2", 448, 6144, 0xbae48920, "344d88bc3707826a", Type::kTL2,
         [tl2](const Matrix& m) { return testing::pack_tl2(m, tl2); }, tl2_end, with_tl2},
        {"TL1", 256, 4096, 0xbea158d5, "5466027683555635", Type::kTL1,
         [tl1](const Matrix& m) { return testing::pack_tl1(m, tl1); }, tail, with_tl1},
    };
}

TEST(TernaryPublished, FirstWeightsOfTheStream) {
    const Matrix weights = testing::published_weights({1, 16});
    EXPECT_EQ(weights.digits,
              (std::vector<int8_t>{0, 1, 0, 0, -1, -1, 1, -1, -1, 0, -1, 1, 1, -1, -1, 1}));
}

TEST(TernaryPublished, ChecksumsAndBack) {
    for (const Published& vector : published()) {
        SCOPED_TRACE(vector.name);
        const Matrix weights = testing::published_weights({64, vector.columns});
        Bytes bytes = vector.pack(weights);
        ASSERT_EQ(bytes.size(), vector.byte_count);
        EXPECT_EQ(testing::crc32(bytes), vector.crc);
        EXPECT_EQ(hex(std::span(bytes).first(8)), vector.first8);
        bytes = vector.end(std::move(bytes), weights.shape);
        const auto decoded = decode_all(vector.type, weights.shape, bytes, vector.options);
        ASSERT_TRUE(decoded.ok()) << decoded.error().message;
        EXPECT_TRUE(decoded->digits == weights.digits);
        for (const float scale : decoded->scales)
            EXPECT_EQ(scale, 1.0f);
    }
}

}  // namespace
}  // namespace bitnetd::quant
