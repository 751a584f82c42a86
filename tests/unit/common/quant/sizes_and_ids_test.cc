// Goal: sizes are the formats', and a type number means what the file's writer meant, told by the
// place its tensor takes.
// Method: worked numbers of the description; every number of its table; for the ambiguous ones all
// readings at the sizes they would have, with gaps, padding and the file's own word.
#include <gtest/gtest.h>

#include "common/quant/quant_types.h"
#include "common/quant/tl2_sizes.h"
#include "common/quant/type_ids.h"

namespace bitnetd::quant {
namespace {

uint64_t bytes_of(Type type, Shape shape) {
    return matrix_bytes(type, shape).value();
}
std::string why_not(Type type, Shape shape) {
    const auto bytes = matrix_bytes(type, shape);
    return bytes.ok() ? "" : bytes.error().message;
}

TEST(Sizes, OneOfEachKind) {
    EXPECT_EQ(bytes_of(Type::kF32, {3, 5}), 60u);
    EXPECT_EQ(bytes_of(Type::kQ4_K, {2, 512}), 2u * 2 * 144);
    EXPECT_EQ(bytes_of(Type::kQ1_0, {1, 128}), 18u);
    EXPECT_EQ(bytes_of(Type::kI2_S, {2560, 6912}), 2560u * 6912 / 4 + 32);
    EXPECT_EQ(bytes_of(Type::kTL1, {1536, 4096}), 1536u * 4096 / 4 + 32);
    EXPECT_EQ(bytes_of(Type::kIQ1_BN, {128, 128}), 128u * (2 + 26));
    EXPECT_EQ(bytes_of(Type::kIQ2_BN, {128, 256}), 128u * (4 + 64));
    EXPECT_EQ(bytes_of(Type::kIQ2_BN_R4, {4, 64}), 4u * 4 + 64);
    EXPECT_EQ(bytes_of(Type::kPackedU8, {8, 10}), 20u);
    EXPECT_EQ(bytes_of(Type::kPackedU8, {7, 10}), 20u);
}

TEST(Sizes, Tl2WorkedNumbers) {
    const Shape shape{4096, 4096};
    const Tl2Sections sections(shape, 96);
    EXPECT_EQ(sections.triple_columns, 4032u);
    EXPECT_EQ(sections.pair_columns, 64u);
    EXPECT_EQ(sections.end, 3'506'176u);
    EXPECT_EQ(tl2_scale_at(shape), 3'538'944u);
    EXPECT_EQ(bytes_of(Type::kTL2, shape), 3'538'944u + 32);
}

TEST(Sizes, ShapesThatCannotBeSayWhy) {
    EXPECT_EQ(why_not(Type::kQ6_K, {4, 100}),
              "a matrix of 4x100 cannot be Q6_K: columns come in blocks of 256");
    EXPECT_EQ(why_not(Type::kF32, {0, 5}), "a matrix of 0x5 cannot be F32: it is empty");
    EXPECT_EQ(why_not(Type::kF32, {1ull << 32, 1ull << 32}),
              "a matrix of 4294967296x4294967296 cannot be F32: it is too large");
    EXPECT_EQ(why_not(Type::kF64, {1ull << 24, 1ull << 24}), "");
    EXPECT_EQ(why_not(Type::kF64, {(1ull << 24) + 1, 1ull << 24}),
              "a matrix of 16777217x16777216 cannot be F64: it is too large");
    EXPECT_EQ(why_not(Type::kTL2, {32, 224}),
              "a matrix of 32x224 cannot be TL2: it needs at least 256 columns");
    EXPECT_EQ(why_not(Type::kTL1, {33, 256}),
              "a matrix of 33x256 cannot be TL1: rows come in groups of 32");
}

TEST(TypeIds, EveryTypeOfGgufFilesComesBack) {
    for (uint8_t i = 0; i <= static_cast<uint8_t>(Type::kNVFP4); ++i) {
        const auto type = static_cast<Type>(i);
        SCOPED_TRACE(name_of(type));
        const auto id = id_of(type);
        if (type == Type::kPackedU8) {
            EXPECT_EQ(id, std::nullopt);
            continue;
        }
        ASSERT_TRUE(id.has_value());
        TensorPlace place;
        place.shape = {64, 512};
        place.bytes_until_next = bytes_of(type, place.shape);
        const auto resolved = resolve_type(*id, place);
        if (type == Type::kMXFP4 || type == Type::kNVFP4) {
            EXPECT_EQ(resolved.error().message, "type " + std::to_string(*id) + " is " +
                                                    std::string(name_of(type)) +
                                                    ", which cannot be read");
            continue;
        }
        ASSERT_TRUE(resolved.ok()) << resolved.error().message;
        EXPECT_EQ(resolved->type, type);
        EXPECT_EQ(resolved->bytes, place.bytes_until_next);
        EXPECT_EQ(resolved->row_scales, RowScales::kCurrent);
    }
}

TEST(TypeIds, OthersAreRefusedByName) {
    TensorPlace place;
    place.shape = {64, 512};
    place.bytes_until_next = 1 << 20;
    const auto why = [&](uint32_t id) { return resolve_type(id, place).error().message; };
    EXPECT_EQ(why(4), "type 4 (removed) is not one that can be read");
    EXPECT_EQ(why(19), "type 19 (IQ1_S) is not one that can be read");
    EXPECT_EQ(why(37), "type 37 (I8_S) is not one that can be read");
    EXPECT_EQ(why(143), "type 143 (IQ1_TN) is not one that can be read");
    EXPECT_EQ(why(4'294'967'295u), "type 4294967295 (unknown) is not one that can be read");
}

TEST(TypeIds, TheTensorMustFitItsPlace) {
    TensorPlace place;
    place.shape = {4, 128};
    place.matrices = 3;
    place.bytes_until_next = 3 * (128 + 32);
    EXPECT_EQ(resolve_type(36, place)->bytes, place.bytes_until_next);
    --place.bytes_until_next;
    EXPECT_EQ(resolve_type(36, place).error().message,
              "type 36 (I2_S) of 4x128 takes 480 bytes, but there are 479");
    place.matrices = 1ull << 60;
    EXPECT_EQ(resolve_type(36, place).error().message, "its size is beyond belief");
}

Result<ResolvedType> resolve(uint32_t id, uint64_t bytes, std::optional<uint64_t> file_type = {}) {
    TensorPlace place;
    place.shape = {64, 512};
    place.bytes_until_next = bytes;
    place.file_type = file_type;
    return resolve_type(id, place);
}

TEST(TypeIds, SizeTellsWhatTwoProjectsCalled42) {
    const uint64_t q2_0 = bytes_of(Type::kQ2_0, {64, 512});
    const uint64_t tl2 = bytes_of(Type::kTL2, {64, 512});
    EXPECT_EQ(resolve(42, q2_0)->type, Type::kQ2_0);
    EXPECT_EQ(resolve(42, tl2)->type, Type::kTL2);
    // A wrong word of the file does not count against the size.
    EXPECT_EQ(resolve(42, q2_0, 39)->type, Type::kQ2_0);
    EXPECT_EQ(resolve(42, tl2, 41)->type, Type::kTL2);
    // With a gap behind, only the file's word tells.
    EXPECT_EQ(resolve(42, q2_0 + 4096, 41)->type, Type::kQ2_0);
    EXPECT_EQ(resolve(42, q2_0 + 4096, 41 + 1024)->type, Type::kQ2_0);
    EXPECT_EQ(resolve(42, q2_0 + 4096, 39)->type, Type::kTL2);
    EXPECT_EQ(resolve(42, q2_0 + 4096).error().message,
              "type 42 is Q2_0 or TL2: neither general.file_type nor the " +
                  std::to_string(q2_0 + 4096) + " bytes there tell which");
    EXPECT_EQ(resolve(42, tl2 + 64)->type, Type::kTL2);
    EXPECT_EQ(resolve(42, tl2 - 1).error().message,
              "type 42 (Q2_0 or TL2) of 64x512 takes " + std::to_string(q2_0) + " or " +
                  std::to_string(tl2) + " bytes, but there are " + std::to_string(tl2 - 1));
}

TEST(TypeIds, SizeTellsWhatTwoProjectsCalled39) {
    const uint64_t mxfp4 = bytes_of(Type::kMXFP4, {64, 512});
    const uint64_t tl2 = bytes_of(Type::kTL2, {64, 512});
    EXPECT_EQ(resolve(39, tl2)->type, Type::kTL2);
    EXPECT_EQ(resolve(39, mxfp4).error().message, "type 39 is MXFP4, which cannot be read");
    EXPECT_EQ(resolve(39, mxfp4 + 999, 38).error().message,
              "type 39 is MXFP4, which cannot be read");
    EXPECT_EQ(resolve(39, mxfp4 + 999, 39)->type, Type::kTL2);
}

TEST(TypeIds, SizeTellsFilesWithoutRowScales) {
    for (const Type type : {Type::kIQ1_BN, Type::kIQ2_BN, Type::kIQ2_BN_R4}) {
        SCOPED_TRACE(name_of(type));
        const uint32_t id = id_of(type).value();
        const uint64_t with = bytes_of(type, {64, 512});
        const uint64_t without = matrix_bytes(type, {64, 512}, RowScales::kAbsent).value();
        EXPECT_EQ(resolve(id, with)->row_scales, RowScales::kCurrent);
        EXPECT_EQ(resolve(id, without)->row_scales, RowScales::kAbsent);
        EXPECT_EQ(resolve(id, without)->bytes, without);
        EXPECT_EQ(resolve(id, with + 4096)->row_scales, RowScales::kCurrent);
        EXPECT_FALSE(resolve(id, without - 1).ok());
    }
}

TEST(TypeIds, PaddingToTheAlignmentFillsAPlace) {
    TensorPlace place;
    place.shape = {32, 256};
    place.alignment = 256;
    place.bytes_until_next = 2304;  // Q2_0 has as many, TL2 2080
    EXPECT_FALSE(resolve_type(42, place).ok());
    place.file_type = 41;
    EXPECT_EQ(resolve_type(42, place)->type, Type::kQ2_0);
}

}  // namespace
}  // namespace bitnetd::quant
