// Goal: a GGUF model reads the same however it is stored: in one file or several, its ternary
// matrices in one type or another; and what does not belong together is refused, naming the file,
// tensor or key.
// Method: the demo model in two types, digit for digit; the golden models in seven types (when they
// are there); split files made part by part and broken in one place each.
#include "worker/prepare/gguf_input.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <utility>

#include "common/gguf/gguf_writer.h"
#include "common/gguf/split_name.h"
#include "common/quant/encode.h"
#include "tests/support/golden.h"

namespace bitnetd::worker {
namespace {

using quant::Type;
using Bytes = std::vector<std::byte>;
using Files = std::map<std::string, Bytes>;  // by name

class OwnedBytes final : public Source {
  public:
    explicit OwnedBytes(Bytes bytes) : bytes_(std::move(bytes)), source_(bytes_) {}
    uint64_t bytes() const override { return source_.bytes(); }
    Result<void> read_at(uint64_t offset, std::span<std::byte> out) override {
        return source_.read_at(offset, out);
    }

  private:
    Bytes bytes_;
    MemorySource source_;
};

NamedSource named(std::string name, Bytes bytes) {
    return {std::move(name), std::make_unique<OwnedBytes>(std::move(bytes))};
}

// Given in the opposite order of their names, which must not matter.
Result<std::unique_ptr<ModelInput>> open(const Files& files, const LayoutOptions& options = {}) {
    std::vector<NamedSource> sources;
    for (auto file = files.rbegin(); file != files.rend(); ++file)
        sources.push_back(named(file->first, file->second));
    return open_model(std::move(sources), options);
}

std::string refusal(const Files& files, const LayoutOptions& options = {}) {
    const auto input = open(files, options);
    return input.ok() ? "" : input.error().message;
}

std::unique_ptr<ModelInput> open_file(const std::filesystem::path& path,
                                      const LayoutOptions& options = {}) {
    auto input = open({{path.filename().string(), tests::read_bytes(path)}}, options);
    if (!input.ok()) throw std::runtime_error(path.string() + ": " + input.error().message);
    return std::move(*input);
}

struct Digits {
    std::vector<int8_t> digits;
    float scale = 0;  // the largest there is; the digits of blocks of zeros are all zero
};

Result<Digits> read_digits(ModelInput& input, const ModelTensor& tensor) {
    BITNETD_ASSIGN(const auto matrix, input.open_ternary(tensor));
    Digits out;
    out.digits.resize(tensor.shape.rows * tensor.shape.columns);
    std::vector<float> scales(matrix->scale_count(tensor.shape.rows));
    BITNETD_TRY(matrix->read_rows(0, tensor.shape.rows, out.digits, scales));
    out.scale = *std::max_element(scales.begin(), scales.end());
    return out;
}

// Every ternary matrix of `a` has the digits of the same one in `b`; how many there are.
size_t expect_same_digits(ModelInput& a, ModelInput& b) {
    size_t compared = 0;
    for (const ModelTensor& tensor : a.tensors()) {
        if (!tensor.ternary) continue;
        SCOPED_TRACE(tensor.name);
        const ModelTensor* other = b.find(tensor.name);
        if (other == nullptr) {
            ADD_FAILURE() << "absent in the other file";
            continue;
        }
        const auto left = read_digits(a, tensor);
        const auto right = read_digits(b, *other);
        EXPECT_TRUE(left.ok() && right.ok());
        if (!left.ok() || !right.ok()) continue;
        EXPECT_TRUE(left->digits == right->digits);
        EXPECT_NEAR(left->scale, right->scale, 0.001 * std::fabs(left->scale));
        ++compared;
    }
    return compared;
}

// A small model as tensors, to be put into one file or several.
struct SmallTensor {
    std::string name;
    std::vector<uint64_t> dims;
    Type type;
    Bytes data;
};

Bytes bytes_of(std::span<const float> values) {
    const auto bytes = std::as_bytes(values);
    return {bytes.begin(), bytes.end()};
}

SmallTensor vector_of(const std::string& name, const std::vector<float>& values) {
    return {name, {values.size()}, Type::kF32, bytes_of(values)};
}

struct SplitKeys {
    uint32_t number = 0;
    uint32_t count = 0;
    int32_t tensors = 0;
};

Bytes file_of(const std::vector<SmallTensor>& tensors, std::optional<SplitKeys> split = {},
              std::optional<uint32_t> file_type = {}) {
    gguf::Writer writer;
    if (!split || split->number == 0) writer.add_text("general.architecture", "test");
    if (file_type) writer.add_u32("general.file_type", *file_type);
    if (split) {
        writer.add_u32("split.no", split->number);
        writer.add_u32("split.count", split->count);
        writer.add_i32("split.tensors.count", split->tensors);
    }
    std::vector<Bytes> data;
    for (const SmallTensor& tensor : tensors) {
        writer.add_tensor(tensor.name, tensor.dims, tensor.type);
        data.push_back(tensor.data);
    }
    return writer.file(data);
}

const SmallTensor kA = vector_of("a", {1, 2});
const SmallTensor kB = vector_of("b", {3});
const SmallTensor kC = vector_of("c", {4, 5, 6});

std::string part(uint32_t number, uint32_t count, const std::string& prefix = "m") {
    return gguf::part_name(prefix, number, count);
}

// Three parts, the first without tensors as some writers make it.
Files three_parts() {
    return {{part(1, 3), file_of({}, SplitKeys{0, 3, 3})},
            {part(2, 3), file_of({kA, kB}, SplitKeys{1, 3, 3})},
            {part(3, 3), file_of({kC}, SplitKeys{2, 3, 3})}};
}

TEST(GgufInput, ReadsTheDemoModelInBothTypes) {
    const auto i2_s = open_file(tests::golden_path("demo-model/bitnet-tiny-stories-5m-i2_s.gguf"));
    const auto tq2_0 =
        open_file(tests::golden_path("demo-model/bitnet-tiny-stories-5m-tq2_0.gguf"));
    EXPECT_EQ(expect_same_digits(*i2_s, *tq2_0), 6u * 7);
    EXPECT_EQ(i2_s->metadata().text("general.architecture")->value(), "bitnet-b1.58");
    EXPECT_EQ(i2_s->find("blk.0.attn_q.weight")->type, Type::kI2_S);
    EXPECT_EQ(i2_s->find("blk.99.attn_q.weight"), nullptr);
}

TEST(GgufInput, SplitFilesReadAsOne) {
    const auto input = open(three_parts());
    ASSERT_TRUE(input.ok()) << input.error().message;
    ModelInput& model = **input;
    EXPECT_EQ(model.metadata().text("general.architecture")->value(), "test");
    ASSERT_EQ(model.tensors().size(), 3u);
    std::vector<float> values(3);
    ASSERT_TRUE(model.read_floats(*model.find("c"), 0, 1, values).ok());
    EXPECT_EQ(values, (std::vector<float>{4, 5, 6}));
    ASSERT_TRUE(model.read_floats(*model.find("b"), 0, 1, std::span(values).first(1)).ok());
    EXPECT_EQ(values[0], 3);
    uint64_t bytes = 0;
    Bytes expected;
    for (const auto& [name, content] : three_parts()) {
        bytes += content.size();
        expected.insert(expected.end(), content.begin(), content.end());
    }
    EXPECT_EQ(model.file_bytes(), bytes);
    Bytes read;
    ASSERT_TRUE(
        model.read_all([&](auto part) { read.insert(read.end(), part.begin(), part.end()); }).ok());
    EXPECT_TRUE(read == expected);
}

TEST(GgufInput, TellsWhichPartsAreMissing) {
    Files files = three_parts();
    files.erase(part(2, 3));
    EXPECT_EQ(refusal(files), "parts of the model are missing: m-00002-of-00003.gguf");
    files.erase(part(3, 3));
    EXPECT_EQ(refusal(files),
              "the file is one of 3 parts of a model and was given alone; missing: "
              "m-00002-of-00003.gguf, m-00003-of-00003.gguf");
    EXPECT_EQ(refusal({{"renamed.gguf", three_parts().at(part(2, 3))}}),
              "the file is one of 3 parts of a model and was given alone; missing: the others");
    EXPECT_EQ(refusal({{part(7, 9), file_of({kA}, SplitKeys{6, 9, 9})}}),
              "the file is one of 9 parts of a model and was given alone; missing: "
              "m-00001-of-00009.gguf, m-00002-of-00009.gguf, m-00003-of-00009.gguf, "
              "m-00004-of-00009.gguf and 4 more");
    EXPECT_EQ(refusal({{"any.gguf", file_of({kA}, SplitKeys{0, 1, 1})}}), "");
}

TEST(GgufInput, RefusesPartsThatDoNotBelongTogether) {
    struct Case {
        const char* why;
        std::string name;
        Bytes content;
        std::string expected;
    };
    const std::string second = part(2, 3);
    const Case cases[] = {
        {"a name twice", second, file_of({kA, kC}, SplitKeys{1, 3, 3}),
         "tensor 'c' is in two parts of the model"},
        {"another place", second, file_of({kA, kB}, SplitKeys{2, 3, 3}),
         second + ": key split.no is 2; expected 1"},
        {"another count", second, file_of({kA, kB}, SplitKeys{1, 4, 3}),
         second + ": key split.count is 4; expected 3"},
        {"no part", second, file_of({kA, kB}), second + ": key split.count is missing"},
        {"a tensor less", second, file_of({kA}, SplitKeys{1, 3, 3}),
         part(1, 3) + ": key split.tensors.count is 3; expected 2"},
        {"no GGUF", second, Bytes(100), second + ": this is no GGUF file"},
        {"another prefix", part(2, 3, "n"), file_of({kA, kB}, SplitKeys{1, 3, 3}),
         "'m-00003-of-00003.gguf' is no further part of the same model as 'n-00002-of-00003.gguf'"},
        {"another name", "extra.gguf", file_of({kA, kB}, SplitKeys{1, 3, 3}),
         "'extra.gguf' is not named like a part of a split GGUF file"},
    };
    for (const Case& bad : cases) {
        Files files = three_parts();
        files.erase(second);
        files[bad.name] = bad.content;
        EXPECT_TRUE(refusal(files).starts_with(bad.expected)) << bad.why << ": " << refusal(files);
    }
}

TEST(GgufInput, PartsTakeTheFileTypeOfTheFirst) {
    // Room for Q2_0 and for TL2: only the file type tells.
    SmallTensor matrix{"t", {512, 64}, Type::kQ2_0, Bytes(512 * 64 / 64 * 18)};
    const auto with_gap = [&](std::optional<uint32_t> file_type) {
        Bytes second = file_of({matrix}, SplitKeys{1, 2, 1});
        second.resize(second.size() + 4096);
        return Files{{part(1, 2), file_of({}, SplitKeys{0, 2, 1}, file_type)},
                     {part(2, 2), second}};
    };
    const auto input = open(with_gap(39));
    ASSERT_TRUE(input.ok()) << input.error().message;
    EXPECT_EQ((*input)->tensors().front().type, Type::kTL2);
    EXPECT_NE(refusal(with_gap({})).find("general.file_type"), std::string::npos)
        << refusal(with_gap({}));
}

TEST(GgufInput, ReadsAnyRangeOfRows) {
    constexpr uint64_t kColumns = 64;
    constexpr uint64_t kRows = 5;
    std::vector<float> values(kColumns * kRows);
    for (size_t i = 0; i < values.size(); ++i)
        values[i] = static_cast<float>(static_cast<int>(i % 17) - 8) * 0.5f;
    Bytes q8_0;
    std::vector<float> expected(values.size());
    for (uint64_t row = 0; row < kRows; ++row) {
        Bytes encoded(kColumns / 32 * 34);
        const auto from = std::span(values).subspan(row * kColumns, kColumns);
        ASSERT_TRUE(quant::encode_floats(Type::kQ8_0, from, encoded).ok());
        q8_0.insert(q8_0.end(), encoded.begin(), encoded.end());
    }
    auto input = open({{"m", file_of({{"f", {kColumns, kRows}, Type::kF32, bytes_of(values)},
                                      {"q", {kColumns, kRows}, Type::kQ8_0, q8_0}})}});
    ASSERT_TRUE(input.ok()) << input.error().message;
    ModelInput& model = **input;
    for (uint64_t first = 0; first < kRows; ++first) {
        for (uint64_t count = 0; count <= kRows - first; ++count) {
            std::vector<float> exact(count * kColumns);
            std::vector<float> rounded(count * kColumns);
            Bytes stored(count * kColumns / 32 * 34);
            ASSERT_TRUE(model.read_floats(*model.find("f"), first, count, exact).ok());
            ASSERT_TRUE(model.read_floats(*model.find("q"), first, count, rounded).ok());
            ASSERT_TRUE(model.read_bytes(*model.find("q"), first, count, stored).ok());
            const auto rows = std::span(values).subspan(first * kColumns, count * kColumns);
            EXPECT_TRUE(std::equal(rows.begin(), rows.end(), exact.begin()));
            for (size_t i = 0; i < rows.size(); ++i)
                ASSERT_NEAR(rounded[i], rows[i], 4.0 / 254);
            const auto blocks = std::span(q8_0).subspan(first * kColumns / 32 * 34, stored.size());
            EXPECT_TRUE(std::equal(blocks.begin(), blocks.end(), stored.begin()));
        }
    }
}

TEST(GgufInput, RowsLongerThanTheBufferAndWhatIsNotFinite) {
    std::vector<float> values(700'000);  // 2.8 MB in two rows
    for (size_t i = 0; i < values.size(); ++i)
        values[i] = static_cast<float>(i);
    const std::vector<uint64_t> dims{values.size() / 2, 2};
    std::vector<float> read(values.size());
    auto good = open({{"m", file_of({{"long", dims, Type::kF32, bytes_of(values)}})}});
    ASSERT_TRUE(good.ok());
    ASSERT_TRUE((*good)->read_floats((*good)->tensors()[0], 0, 2, read).ok());
    EXPECT_TRUE(read == values);
    values[values.size() - 2] = std::numeric_limits<float>::infinity();
    auto bad = open({{"m", file_of({{"long", dims, Type::kF32, bytes_of(values)}})}});
    ASSERT_TRUE(bad.ok());
    EXPECT_EQ((*bad)->read_floats((*bad)->tensors()[0], 0, 2, read).error().message,
              "row 1, column 349998 is not finite");
    const auto second = std::span(read).first(values.size() / 2);
    EXPECT_EQ((*bad)->read_floats((*bad)->tensors()[0], 1, 1, second).error().message,
              "row 1, column 349998 is not finite");
}

TEST(GgufInput, TypesThatAreNoFloatsAreRefusedWhenRead) {
    auto input = open({{"m", file_of({{"i", {4}, Type::kI32, Bytes(16)}})}});
    ASSERT_TRUE(input.ok());
    std::vector<float> out(4);
    EXPECT_EQ((*input)->read_floats((*input)->tensors()[0], 0, 1, out).error().message,
              "its type I32 does not stand for floats");
}

TEST(GgufInput, MatricesOnly) {
    EXPECT_EQ(refusal({{"m", file_of({{"experts", {8, 4, 3}, Type::kF32, Bytes(8 * 4 * 3 * 4)}})}}),
              "tensor 'experts': it is 3 matrices of 4x8; expected one matrix or vector");
}

// All weights are 0 but for one: where it is tells the layouts apart.
TEST(GgufInput, TheOperatorSaysHowI2sIsArranged) {
    Bytes codes(256 / 4 + 32, std::byte{0x55});
    codes[17] = std::byte{0x95};  // its first code is +1
    const float scale = 2;
    std::memcpy(codes.data() + 64, &scale, sizeof scale);
    const Files files{{"m", file_of({{"t", {256, 1}, Type::kI2_S, codes}})}};
    for (const auto& [layout, place] :
         {std::pair{quant::I2sLayout::kBlocks128, 17}, std::pair{quant::I2sLayout::kBlocks64, 65},
          std::pair{quant::I2sLayout::kSequential, 68}}) {
        LayoutOptions options;
        options.i2s_layout = layout;
        auto input = open(files, options);
        ASSERT_TRUE(input.ok()) << input.error().message;
        const auto digits = read_digits(**input, (*input)->tensors()[0]);
        ASSERT_TRUE(digits.ok()) << digits.error().message;
        EXPECT_EQ(
            std::find(digits->digits.begin(), digits->digits.end(), 1) - digits->digits.begin(),
            place);
        EXPECT_EQ(digits->scale, 2);
    }
    const Files short_rows{{"m", file_of({{"t", {192, 2}, Type::kI2_S, Bytes(96 + 32)}})}};
    EXPECT_EQ(refusal(short_rows),
              "tensor 't': it is I2_S with rows of 192; the layout in use needs multiples of 128");
    EXPECT_EQ(refusal(short_rows, {quant::I2sLayout::kBlocks64, {}}), "");
    EXPECT_NE(refusal({{"m", tests::read_bytes(tests::golden_path("hostile/row-not-block.gguf"))}}),
              "");
}

TEST(GgufInput, TilesComeFromTheOperator) {
    const Files files{{"m", file_of({{"t", {256, 64}, Type::kTL1, Bytes(64 * 256 / 4 + 32)}})}};
    auto without = open(files);
    ASSERT_TRUE(without.ok()) << without.error().message;
    EXPECT_EQ((*without)->open_ternary((*without)->tensors()[0]).error().message,
              "the tile of TL1 matrices of 64x256 is not known and not in the file; give it as "
              "'64x256=BM,BK,bm'");
    LayoutOptions options;
    options.tl_tiles = {{{64, 256}, {64, 128, 32}}};
    auto with = open(files, options);
    ASSERT_TRUE(with.ok());
    EXPECT_TRUE((*with)->open_ternary((*with)->tensors()[0]).ok());
}

TEST(GgufInput, RowsWithoutScalesNeedOneOfTheMatrix) {
    // The writer stores rows with scales: a matrix of I8 whose type is changed behind its
    // dimensions and whose bytes are cut to those of the codes.
    const std::vector<uint64_t> dims{512, 16};
    SmallTensor matrix{"blk.0.attn_q.weight", dims, Type::kI8, Bytes(512 * 16)};
    const auto as_iq2_bn = [&](std::vector<SmallTensor> tensors) {
        Bytes file = file_of(tensors);
        const auto wanted = std::as_bytes(std::span(dims));
        const auto at = std::search(file.begin(), file.end(), wanted.begin(), wanted.end());
        const uint32_t id = 135;
        std::memcpy(&*at + 16, &id, sizeof id);
        file.erase(file.end() - static_cast<ptrdiff_t>(512 * 16 - 512 * 16 / 4), file.end());
        return Files{{"m", file}};
    };
    EXPECT_EQ(refusal(as_iq2_bn({matrix})),
              "tensor 'blk.0.attn_q.weight' is IQ2_BN without scales in its rows, and there is no "
              "tensor 'blk.0.attn_q.scale'");
    auto input = open(as_iq2_bn({vector_of("blk.0.attn_q.scale", {0.5f}), matrix}));
    ASSERT_TRUE(input.ok()) << input.error().message;
    const auto digits = read_digits(**input, *(*input)->find("blk.0.attn_q.weight"));
    ASSERT_TRUE(digits.ok()) << digits.error().message;
    EXPECT_EQ(digits->scale, 1);
    EXPECT_EQ(digits->digits[0], -1);  // code 0
}

TEST(OpenModel, RefusesNothingAndTheSameTwice) {
    EXPECT_EQ(refusal({}), "the model has no file");
    std::vector<NamedSource> twice;
    twice.push_back(named("m", file_of({kA})));
    twice.push_back(named("m", file_of({kB})));
    EXPECT_EQ(open_model(std::move(twice), {}).error().message,
              "two files of the model are called 'm'");
}

class GoldenFull : public ::testing::Test {
  protected:
    void SetUp() override {
        folder_ = tests::large_golden_path("models");
        if (!std::filesystem::exists(folder_)) {
            GTEST_SKIP() << "the larger golden set is not at " << folder_;
        }
    }
    LayoutOptions layout_of(const std::string& name) const {
        LayoutOptions options;
        const auto golden = tests::read_json(folder_ / "golden" / (name + ".json"));
        if (!golden.contains("tiles")) return options;
        std::string text;
        for (const auto& [shape, tile] : golden["tiles"].items()) {
            std::string plain = shape;
            plain.erase(std::remove(plain.begin(), plain.end(), ' '), plain.end());
            text += (text.empty() ? "" : ";") + plain + "=" + std::to_string(tile[0].get<int>()) +
                    "," + std::to_string(tile[1].get<int>()) + "," +
                    std::to_string(tile[2].get<int>());
        }
        auto tiles = quant::parse_tiles(text);
        if (!tiles.ok()) throw std::runtime_error(tiles.error().message);
        options.tl_tiles = *tiles;
        return options;
    }
    std::unique_ptr<ModelInput> model(const std::string& name) const {
        return open_file(folder_ / (name + ".gguf"), layout_of(name));
    }
    std::filesystem::path folder_;
};

TEST_F(GoldenFull, SiblingsHaveTheSameDigitsInEveryType) {
    const auto e256 = model("b158-e256-I2_S");
    for (const char* type : {"TQ1_0", "TQ2_0", "TL1", "TL2"}) {
        SCOPED_TRACE(type);
        const auto sibling = model(std::string("b158-e256-") + type);
        EXPECT_GT(expect_same_digits(*e256, *sibling), 10u);
    }
    const auto e128 = model("b158-e128-I2_S");
    for (const char* type : {"IQ1_BN", "IQ2_BN"}) {
        SCOPED_TRACE(type);
        const auto sibling = model(std::string("b158-e128-") + type);
        EXPECT_GT(expect_same_digits(*e128, *sibling), 10u);
    }
}

TEST_F(GoldenFull, TheSplitModelHasTheValuesOfItsSibling) {
    Files files;
    for (uint32_t number : {1u, 2u}) {
        const std::string name = gguf::part_name("llama-plain-BF16", number, 2);
        files[name] = tests::read_bytes(folder_ / name);
    }
    auto split = open(files);
    ASSERT_TRUE(split.ok()) << split.error().message;
    const auto whole = model("llama-plain-F32");
    ASSERT_EQ((*split)->tensors().size(), whole->tensors().size());
    for (const ModelTensor& tensor : (*split)->tensors()) {
        SCOPED_TRACE(tensor.name);
        const ModelTensor* other = whole->find(tensor.name);
        ASSERT_NE(other, nullptr);
        std::vector<float> rounded(tensor.shape.rows * tensor.shape.columns);
        std::vector<float> exact(rounded.size());
        ASSERT_TRUE((*split)->read_floats(tensor, 0, tensor.shape.rows, rounded).ok());
        ASSERT_TRUE(whole->read_floats(*other, 0, other->shape.rows, exact).ok());
        // Half a step of 8 significant bits.
        for (size_t i = 0; i < exact.size(); ++i)
            ASSERT_NEAR(rounded[i], exact[i], std::fabs(exact[i]) / 256) << i;
    }
}

TEST_F(GoldenFull, EveryTensorOfEveryModelReads) {
    size_t files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
        const std::string name = entry.path().filename().string();
        if (!name.ends_with(".gguf") || gguf::parse_split_name(name)) continue;
        SCOPED_TRACE(name);
        const auto input = model(entry.path().stem().string());
        ++files;
        for (const ModelTensor& tensor : input->tensors()) {
            SCOPED_TRACE(tensor.name);
            if (tensor.ternary) {
                const auto digits = read_digits(*input, tensor);
                EXPECT_TRUE(digits.ok()) << digits.error().message;
                continue;
            }
            std::vector<float> values(tensor.shape.rows * tensor.shape.columns);
            const auto read = input->read_floats(tensor, 0, tensor.shape.rows, values);
            EXPECT_TRUE(read.ok()) << read.error().message;
        }
    }
    EXPECT_EQ(files, 30u);
}

}  // namespace
}  // namespace bitnetd::worker
