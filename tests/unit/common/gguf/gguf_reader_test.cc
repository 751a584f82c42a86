// Goal: the reader takes every good file and refuses every bad one with a reason, whatever the
// bytes. Method: the worked example of the format byte by byte; files made by the writer and read
// back; a small file cut at every byte; random mutations of it under a printed seed; the corrupt
// files of tests/golden/hostile. What only the architecture can tell is left to
// tests/unit/worker/prepare.
#include "common/gguf/gguf_reader.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <set>

#include "common/base/fd.h"
#include "common/gguf/gguf_writer.h"
#include "tests/support/golden.h"

namespace bitnetd::gguf {
namespace {

Result<File> read_bytes(std::span<const std::byte> bytes) {
    MemorySource source(bytes);
    return read(source);
}

std::string refusal(std::span<const std::byte> bytes) {
    const auto file = read_bytes(bytes);
    return file.ok() ? "" : file.error().message;
}

template <typename T>
void patch(std::vector<std::byte>& bytes, size_t at, T value) {
    ASSERT_LE(at + sizeof value, bytes.size());
    std::memcpy(bytes.data() + at, &value, sizeof value);
}

// Section 1 of the format description: one key, one F32 tensor "a" of two elements.
std::vector<std::byte> worked_example() {
    auto bytes = tests::from_hex(
        "4747554603000000"
        "0100000000000000"
        "0100000000000000"
        "140000000000000067656e6572616c2e617263686974656374757265"
        "08000000"
        "05000000000000006c6c616d61"
        "010000000000000061"
        "01000000"
        "0200000000000000"
        "00000000"
        "0000000000000000");
    bytes.resize(0x80 + 32);
    return bytes;
}

constexpr size_t kDimsAt = 0x4E;
constexpr size_t kFirstDimAt = 0x52;
constexpr size_t kTypeAt = 0x5A;
constexpr size_t kOffsetAt = 0x5E;

std::vector<std::byte> small_file() {
    Writer writer;
    writer.add_text("general.architecture", "test");
    writer.add_u32("test.u32", 7);
    writer.add_i32("test.i32", -7);
    writer.add_u64("test.u64", 1ull << 40);
    writer.add_f32("test.f32", 0.5f);
    writer.add_f64("test.f64", 0.25);
    writer.add_bool("test.bool", true);
    writer.add_texts("test.texts", std::vector<std::string>{"one", "", "three"});
    writer.add_i32s("test.i32s", std::vector<int32_t>{1, -2, 3});
    writer.add_f32s("test.f32s", std::vector<float>{1.5f, -2.5f});
    writer.add_tensor("vector", std::vector<uint64_t>{3}, quant::Type::kF32);
    writer.add_tensor("matrix", std::vector<uint64_t>{128, 2}, quant::Type::kI2_S);
    writer.add_tensor("scalar", {}, quant::Type::kF16);
    return writer.file(std::vector<std::vector<std::byte>>{
        std::vector<std::byte>(12), std::vector<std::byte>(96), std::vector<std::byte>(2)});
}

TEST(GgufReader, ReadsTheWorkedExample) {
    const auto file = read_bytes(worked_example());
    ASSERT_TRUE(file.ok()) << file.error().message;
    EXPECT_EQ(file->version, 3u);
    EXPECT_EQ(file->data_start, 0x80u);
    EXPECT_EQ(file->metadata.text("general.architecture")->value(), "llama");
    ASSERT_EQ(file->tensors.size(), 1u);
    EXPECT_EQ(file->tensors[0].name, "a");
    EXPECT_EQ(file->tensors[0].dims[0], 2u);
    EXPECT_EQ(file->tensors[0].bytes, 8u);
}

TEST(GgufReader, ReadsBackWhatTheWriterWrote) {
    const auto file = read_bytes(small_file());
    ASSERT_TRUE(file.ok()) << file.error().message;
    const Metadata& keys = file->metadata;
    EXPECT_EQ(keys.size(), 10u);
    EXPECT_EQ(keys.integer("test.u32", 7)->value(), 7u);
    EXPECT_EQ(keys.integer("test.u64", UINT64_MAX)->value(), 1ull << 40);
    EXPECT_EQ(keys.number("test.f32")->value(), 0.5);
    EXPECT_EQ(keys.number("test.f64")->value(), 0.25);
    EXPECT_TRUE(keys.boolean("test.bool")->value());
    const auto texts = keys.texts("test.texts")->value();
    EXPECT_EQ(std::vector<std::string>(texts.begin(), texts.end()),
              (std::vector<std::string>{"one", "", "three"}));
    EXPECT_EQ(keys.integers("test.i32s")->value(), (std::vector<int64_t>{1, -2, 3}));
    EXPECT_EQ(keys.floats("test.f32s")->value(), (std::vector<float>{1.5f, -2.5f}));
    ASSERT_EQ(file->tensors.size(), 3u);
    EXPECT_EQ(file->tensors[1].bytes, 128u * 2 / 4 + 32);
    EXPECT_EQ(file->tensors[1].offset, 32u);
    EXPECT_EQ(file->tensors[2].dim_count, 0u);
    EXPECT_EQ(file->tensors[2].bytes, 2u);
}

TEST(GgufReader, LookUpsSayWhatIsWrong) {
    const auto file = read_bytes(small_file());
    ASSERT_TRUE(file.ok());
    const Metadata& keys = file->metadata;
    EXPECT_FALSE(keys.integer("absent", 1)->has_value());
    EXPECT_EQ(keys.integer("test.u32", 6).error().message, "key test.u32 is 7; expected 0 to 6");
    EXPECT_EQ(keys.integer("test.i32", 6).error().message, "key test.i32 is -7; expected 0 to 6");
    EXPECT_EQ(keys.integer("test.f32", 6).error().message,
              "key test.f32 must be an integer, found f32");
    EXPECT_EQ(keys.text("test.i32s").error().message,
              "key test.i32s must be a string, found array of i32");
    EXPECT_FALSE(keys.texts("test.f32s").ok());
    EXPECT_FALSE(keys.floats("test.texts").ok());
    EXPECT_FALSE(keys.integers("test.f32s").ok());
    EXPECT_EQ(required("absent", keys.text("absent")).error().message, "key absent is missing");
}

TEST(GgufReader, KeepsAlignmentOfTheFile) {
    Writer writer(64);
    writer.add_tensor("a", std::vector<uint64_t>{1}, quant::Type::kF32);
    writer.add_tensor("b", std::vector<uint64_t>{1}, quant::Type::kF32);
    const std::vector<std::vector<std::byte>> data(2, std::vector<std::byte>(4));
    const auto file = read_bytes(writer.file(data));
    ASSERT_TRUE(file.ok()) << file.error().message;
    EXPECT_EQ(file->alignment, 64u);
    EXPECT_EQ(file->data_start % 64, 0u);
    EXPECT_EQ(file->tensors[1].offset, 64u);
}

TEST(GgufReader, AcceptsGapsAndAnyOrderButNoOverlap) {
    Writer writer;
    for (const char* name : {"a", "b"}) {
        writer.add_tensor(name, std::vector<uint64_t>{8}, quant::Type::kF32);
    }
    auto bytes = writer.file(std::vector<std::vector<std::byte>>(2, std::vector<std::byte>(32)));
    bytes.resize(bytes.size() + 64);
    const size_t first_offset = 24 + 8 + 1 + 4 + 8 + 4;
    const size_t second_offset = first_offset + 8 + (8 + 1 + 4 + 8 + 4);
    patch(bytes, first_offset, uint64_t{96});
    EXPECT_EQ(refusal(bytes), "");
    patch(bytes, second_offset, uint64_t{96});
    EXPECT_EQ(
        refusal(bytes),
        "tensor 'a' at offset 96, before tensor 'b' at offset 96: type 0 (F32) of 1x8 takes 32 "
        "bytes, but there are 0");
}

TEST(GgufReader, RefusesEveryTruncation) {
    const auto bytes = small_file();
    const auto whole = read_bytes(bytes);
    ASSERT_TRUE(whole.ok());
    const TensorInfo& last = whole->tensors.back();
    const size_t needed = static_cast<size_t>(whole->data_start + last.offset + last.bytes);
    for (size_t length = 0; length < bytes.size(); ++length) {
        const auto file = read_bytes(std::span(bytes).first(length));
        EXPECT_EQ(file.ok(), length >= needed) << "cut to " << length << " bytes";
        if (!file.ok()) {
            EXPECT_FALSE(file.error().message.empty());
        }
    }
}

TEST(GgufReader, RefusesBadHeaders) {
    auto bytes = worked_example();
    patch(bytes, 4, uint32_t{0x03000000});
    EXPECT_NE(refusal(bytes).find("big-endian"), std::string::npos);
    for (const uint32_t version : {0u, 1u, 4u}) {
        patch(bytes, 4, version);
        EXPECT_NE(refusal(bytes).find("version"), std::string::npos);
    }
    bytes = worked_example();
    patch(bytes, 8, uint64_t{1} << 63);
    EXPECT_NE(refusal(bytes).find("tensors"), std::string::npos);
    bytes = worked_example();
    patch(bytes, 16, uint64_t{1} << 40);
    EXPECT_NE(refusal(bytes).find("keys"), std::string::npos);
}

TEST(GgufReader, RefusesBadTensors) {
    struct Case {
        const char* what;
        size_t at;
        uint64_t value;
        size_t bytes;
    };
    const Case cases[] = {
        {"five dimensions", kDimsAt, 5, 4},
        {"a dimension of zero", kFirstDimAt, 0, 8},
        {"a negative dimension", kFirstDimAt, uint64_t{1} << 63, 8},
        {"more elements than any tensor has", kFirstDimAt, (uint64_t{1} << 48) + 1, 8},
        {"more bytes than the file has", kFirstDimAt, 9, 8},
        {"a removed type", kTypeAt, 4, 4},
        {"type -1", kTypeAt, UINT32_MAX, 4},
        {"a type that is known by name only", kTypeAt, 16, 4},
        {"a row that is no block", kTypeAt, 36, 4},
        {"a misaligned offset", kOffsetAt, 4, 8},
        {"an offset behind the file", kOffsetAt, 1024, 8},
        {"an offset that wraps", kOffsetAt, UINT64_MAX - 31, 8},
    };
    for (const Case& bad : cases) {
        auto bytes = worked_example();
        std::memcpy(bytes.data() + bad.at, &bad.value, bad.bytes);
        EXPECT_NE(refusal(bytes).find("tensor 'a'"), std::string::npos)
            << bad.what << ": " << refusal(bytes);
    }
}

// A matrix of `id` whose data section has `data_bytes`, with the key general.file_type if given.
Result<File> read_matrix(uint32_t id, std::array<uint64_t, 2> dims, size_t data_bytes,
                         std::optional<uint32_t> file_type = std::nullopt,
                         std::optional<uint64_t> file_type_of_set = std::nullopt) {
    Writer writer;
    if (file_type) writer.add_u32("general.file_type", *file_type);
    writer.add_tensor("m", dims, quant::Type::kI8);
    std::vector<std::byte> bytes = writer.head();
    // The last bytes of the only tensor info: type, offset, padding.
    const std::string dims_and_type(reinterpret_cast<const char*>(dims.data()), 16);
    const std::string_view head(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    patch(bytes, head.find(dims_and_type) + 16, id);
    bytes.resize(bytes.size() + data_bytes);
    MemorySource source(bytes);
    return read(source, file_type_of_set);
}

TEST(GgufReader, DecidesWhatTwoProjectsCalledTheSame) {
    constexpr uint64_t kTl2Bytes = 3'538'944 + 32;
    constexpr uint64_t kQ2_0Bytes = 4096 * 4096 / 64 * 18;
    auto file = read_matrix(42, {4096, 4096}, kQ2_0Bytes);
    ASSERT_TRUE(file.ok()) << file.error().message;
    EXPECT_EQ(file->tensors[0].type, quant::Type::kQ2_0);
    EXPECT_EQ(file->tensors[0].bytes, kQ2_0Bytes);
    for (const uint32_t id : {39u, 42u}) {
        file = read_matrix(id, {4096, 4096}, kTl2Bytes);
        ASSERT_TRUE(file.ok()) << file.error().message;
        EXPECT_EQ(file->tensors[0].type, quant::Type::kTL2);
        EXPECT_EQ(file->tensors[0].type_id, id);
        EXPECT_EQ(file->tensors[0].bytes, kTl2Bytes);
    }
    file = read_matrix(39, {4096, 4096}, 4096 * 4096 / 32 * 17);
    ASSERT_FALSE(file.ok());
    EXPECT_NE(file.error().message.find("tensor 'm'"), std::string::npos);
    EXPECT_NE(file.error().message.find("MXFP4"), std::string::npos);
}

TEST(GgufReader, AsksTheFileTypeWhereSizesDoNotTell) {
    constexpr size_t kRoom = 4096 * 4096;  // for either, with a gap behind it
    const auto file = read_matrix(42, {4096, 4096}, kRoom);
    ASSERT_FALSE(file.ok());
    EXPECT_NE(file.error().message.find("general.file_type"), std::string::npos)
        << file.error().message;
    const auto named = read_matrix(42, {4096, 4096}, kRoom, 39);
    ASSERT_TRUE(named.ok()) << named.error().message;
    EXPECT_EQ(named->tensors[0].type, quant::Type::kTL2);
    // A part of a split file has the key only in the first part.
    const auto part = read_matrix(42, {4096, 4096}, kRoom, std::nullopt, 41);
    ASSERT_TRUE(part.ok()) << part.error().message;
    EXPECT_EQ(part->tensors[0].type, quant::Type::kQ2_0);
}

TEST(GgufReader, TellsRowsWithAndWithoutTheirScale) {
    const uint64_t codes = 64 * 512 / 4;
    const auto with = read_matrix(135, {512, 64}, codes + 64 * 4);
    ASSERT_TRUE(with.ok()) << with.error().message;
    EXPECT_EQ(with->tensors[0].row_scales, quant::RowScales::kCurrent);
    const auto without = read_matrix(135, {512, 64}, codes);
    ASSERT_TRUE(without.ok()) << without.error().message;
    EXPECT_EQ(without->tensors[0].row_scales, quant::RowScales::kAbsent);
    EXPECT_EQ(without->tensors[0].bytes, codes);
}

TEST(GgufReader, SizesTheScalesThatTl1FilesDoNotList) {
    const auto file = read_matrix(38, {4096, 256}, 4096 * 256 / 4 + 32);
    ASSERT_TRUE(file.ok()) << file.error().message;
    EXPECT_EQ(file->tensors[0].type, quant::Type::kTL1);
    EXPECT_EQ(file->tensors[0].bytes, 4096u * 256 / 4 + 32);
    EXPECT_FALSE(read_matrix(38, {4096, 256}, 4096 * 256 / 4).ok());
}

TEST(GgufReader, RefusesWrappingDimensions) {
    for (const auto& [first, second] : {std::pair{uint64_t{1} << 62, uint64_t{4}},
                                        std::pair{(uint64_t{1} << 63) - 1, uint64_t{2}}}) {
        auto bytes = worked_example();
        patch(bytes, kDimsAt, uint32_t{2});
        patch(bytes, kFirstDimAt, first);
        // The second dimension goes where the type was; type and offset move behind it.
        patch(bytes, kTypeAt, second);
        patch(bytes, kTypeAt + 8, uint32_t{0});
        patch(bytes, kTypeAt + 12, uint64_t{0});
        EXPECT_NE(refusal(bytes).find("product"), std::string::npos) << refusal(bytes);
    }
}

TEST(GgufReader, RefusesNulInNamesAndShowsNoControlBytes) {
    auto bytes = worked_example();
    bytes[0x4D] = std::byte{0};
    EXPECT_EQ(refusal(bytes), "tensor info 0: its name '?' is empty or has a NUL byte");
}

TEST(GgufReader, SurvivesRandomMutations) {
    const uint64_t seed = std::random_device{}();
    std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
    std::mt19937_64 random(seed);
    const auto good = small_file();
    for (int round = 0; round < 20'000; ++round) {
        auto bytes = good;
        for (uint64_t changes = 1 + random() % 4; changes > 0; --changes) {
            const size_t at = random() % bytes.size();
            // Small, large and random values alike: most lengths are 8 bytes.
            static constexpr uint64_t kOdd[] = {0, 1, UINT64_MAX, UINT64_MAX / 8 + 1, 1ull << 32};
            const uint64_t value = random() % 2 == 0 ? kOdd[random() % 5] : random();
            const size_t width = std::min<size_t>(size_t{1} << random() % 4, bytes.size() - at);
            std::memcpy(bytes.data() + at, &value, width);
        }
        const auto file = read_bytes(bytes);
        if (!file.ok()) continue;
        for (const TensorInfo& tensor : file->tensors) {
            ASSERT_LE(tensor.bytes, bytes.size());
            ASSERT_LE(file->data_start + tensor.offset + tensor.bytes, bytes.size());
        }
    }
}

TEST(GgufReader, JudgesTheHostileFiles) {
    // Refusals that need the architecture, the weights themselves or the operator's I2_S layout.
    const std::set<std::string> left_to_prepare{
        "i2s-code-3.gguf",           "i2s-scale-nan.gguf",  "no-tokens.gguf",
        "vocab-mismatch.gguf",       "unknown-tensor.gguf", "missing-tensor.gguf",
        "unknown-architecture.gguf", "kv-heads-zero.gguf",  "row-not-block.gguf"};
    size_t refused = 0;
    for (const auto& entry : tests::read_json(tests::golden_path("hostile/index.json"))) {
        const auto name = entry["file"].get<std::string>();
        const bool must_refuse = entry["must"] == "refuse" && !left_to_prepare.contains(name);
        const auto file = read_bytes(tests::read_bytes(tests::golden_path("hostile/" + name)));
        EXPECT_EQ(file.ok(), !must_refuse)
            << name << ": " << entry["what"] << (file.ok() ? "" : ": " + file.error().message);
        if (file.ok()) continue;
        std::printf("%-28s %s\n", name.c_str(), file.error().message.c_str());
        ++refused;
    }
    EXPECT_EQ(refused, 23u);
}

TEST(GgufReader, ReadsTheDemoModelThroughADescriptor) {
    const auto path = tests::golden_path("demo-model/bitnet-tiny-stories-5m-i2_s.gguf");
    const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(static_cast<bool>(fd));
    auto source = FdSource::open(fd.get());
    ASSERT_TRUE(source.ok()) << source.error().message;
    const auto file = read(*source);
    ASSERT_TRUE(file.ok()) << file.error().message;
    EXPECT_EQ(file->metadata.text("general.architecture")->value(), "bitnet-b1.58");
    EXPECT_EQ(file->metadata.texts("tokenizer.ggml.tokens")->value().size(), 2048u);
    EXPECT_EQ(file->tensors.size(), 2u + 6 * 11);
}

TEST(GgufSource, RefusesWhatIsNoFileOrOutOfRange) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const Fd reader(ends[0]);
    const Fd writer(ends[1]);
    EXPECT_FALSE(FdSource::open(reader.get()).ok());
    const std::vector<std::byte> memory(8);
    MemorySource source(memory);
    std::byte out[4];
    EXPECT_TRUE(source.read_at(4, out).ok());
    EXPECT_FALSE(source.read_at(5, out).ok());
    EXPECT_FALSE(source.read_at(UINT64_MAX, out).ok());
}

}  // namespace
}  // namespace bitnetd::gguf
