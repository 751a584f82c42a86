// Goal: real checkpoint directories read as what they are: every tensor has a name and the shape
// its configuration gives it, packed weights are ternary, and master weights ternarise to the very
// digits and scales of the GGUF file made from the same model.
// Method: the large golden set beside the repository; skipped with a word when it is not there.
#include <gtest/gtest.h>

#include <cctype>
#include <filesystem>
#include <map>

#include "common/gguf/gguf_reader.h"
#include "common/quant/absmean.h"
#include "common/quant/float_rows.h"
#include "common/quant/ternary_matrix.h"
#include "common/safetensors/hf_config.h"
#include "common/safetensors/hf_side_files.h"
#include "common/safetensors/shard_index.h"
#include "common/safetensors/tensor_names.h"
#include "tests/support/golden.h"

namespace bitnetd::safetensors {
namespace {

std::string read_text(const std::filesystem::path& path) {
    const auto bytes = tests::read_bytes(path);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// One directory, its data in memory.
struct Directory {
    ModelConfig config;
    std::vector<std::byte> bytes;
    File file;

    static Directory read(const std::filesystem::path& path) {
        Directory out;
        out.config = parse_model_config(read_text(path / "config.json")).value();
        out.bytes = tests::read_bytes(path / "model.safetensors");
        MemorySource source(out.bytes);
        auto file = safetensors::read(source);
        if (!file.ok()) throw std::runtime_error(file.error().message);
        out.file = std::move(file).value();
        return out;
    }

    std::span<const std::byte> data(const TensorInfo& tensor) const {
        return std::span(bytes).subspan(file.data_start + tensor.begin, tensor.bytes());
    }
    std::vector<float> floats(const TensorInfo& tensor) const {
        std::vector<float> out(tensor.bytes() / 2);
        EXPECT_EQ(tensor.type, DType::kBF16);
        quant::decode_floats(quant::Type::kBF16, data(tensor), out);
        return out;
    }
};

// [rows, columns] of a matrix or [1, n] of a vector, by its GGUF name.
quant::Shape shape_of(const std::string& name, const ModelConfig& c) {
    const uint64_t q = c.heads * c.head_dim;
    const uint64_t kv = c.kv_heads * c.head_dim;
    const std::map<std::string, quant::Shape> shapes = {
        {"token_embd", {c.vocab_size, c.hidden_size}},
        {"output", {c.vocab_size, c.hidden_size}},
        {"attn_q", {q, c.hidden_size}},
        {"attn_k", {kv, c.hidden_size}},
        {"attn_v", {kv, c.hidden_size}},
        {"attn_output", {c.hidden_size, q}},
        {"ffn_gate", {c.intermediate_size, c.hidden_size}},
        {"ffn_up", {c.intermediate_size, c.hidden_size}},
        {"ffn_down", {c.hidden_size, c.intermediate_size}},
        {"attn_sub_norm", {1, q}},
        {"ffn_sub_norm", {1, c.intermediate_size}},
        {"attn_norm", {1, c.hidden_size}},
        {"ffn_norm", {1, c.hidden_size}},
        {"output_norm", {1, c.hidden_size}},
    };
    std::string part = name.substr(0, name.rfind('.'));
    part = part.substr(part.rfind('.') == std::string::npos ? 0 : part.rfind('.') + 1);
    return shapes.at(part);
}

class Directories : public ::testing::TestWithParam<const char*> {};

TEST_P(Directories, GoldenFull) {
    const auto path = tests::large_golden_path(GetParam());
    if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not there";
    const Directory directory = Directory::read(path);
    const ModelConfig& config = directory.config;
    EXPECT_GE(config.layers, 2u);
    EXPECT_TRUE(
        parse_generation_config(read_text(path / "generation_config.json"), config.vocab_size)
            .ok());
    EXPECT_EQ(parse_tokenizer_config(read_text(path / "tokenizer_config.json"))->bos_token,
              "<|begin_of_text|>");

    size_t packed = 0;
    for (const TensorInfo& tensor : directory.file.tensors) {
        SCOPED_TRACE(tensor.name);
        const auto name = find_gguf_name(tensor.name, config.family);
        ASSERT_TRUE(name.has_value());
        const quant::Shape shape = shape_of(name->gguf_name, config);
        if (name->part == Part::kWeightScale) {
            EXPECT_EQ(tensor.shape, std::vector<uint64_t>{1});
            continue;
        }
        if (tensor.type != DType::kU8) {
            EXPECT_EQ(tensor.shape, shape.rows == 1
                                        ? std::vector<uint64_t>{shape.columns}
                                        : (std::vector<uint64_t>{shape.rows, shape.columns}));
            EXPECT_EQ(quant::first_not_finite(directory.floats(tensor)), std::nullopt);
            continue;
        }
        ++packed;
        EXPECT_EQ(tensor.shape, (std::vector<uint64_t>{shape.rows / 4, shape.columns}));
        const TensorInfo* scale = directory.file.find_tensor(tensor.name + "_scale");
        ASSERT_NE(scale, nullptr);
        ASSERT_TRUE(config.quantization.has_value());
        quant::TernaryOptions options;
        options.outer_scale =
            weight_magnitude(config.quantization->linear_class, directory.floats(*scale)[0])
                .value();
        const auto matrix = quant::open_ternary(quant::Type::kPackedU8, shape,
                                                quant::read_from(directory.data(tensor)), options);
        ASSERT_TRUE(matrix.ok()) << matrix.error().message;
        std::vector<int8_t> digits(shape.rows * shape.columns);
        float magnitude = 0;
        EXPECT_TRUE((*matrix)->read_rows(0, shape.rows, digits, {&magnitude, 1}).ok());
        EXPECT_EQ(magnitude, options.outer_scale);
    }
    const bool offline =
        config.quantization.has_value() && config.quantization->mode == QuantizationMode::kOffline;
    EXPECT_EQ(packed, offline ? 7 * config.layers : 0u);
}

INSTANTIATE_TEST_SUITE_P(Golden, Directories,
                         ::testing::Values("models/st-llama-bf16", "models/st-bitnet-master",
                                           "models/st-bitnet-packed", "../demo-model/hf"),
                         [](const auto& path) {
                             std::string name;
                             for (const char c : std::string(path.param))
                                 name += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
                             return name;
                         });

TEST(MasterWeights, GoldenFullTernariseToTheDemoModelsGguf) {
    const auto path = tests::large_golden_path("../demo-model/hf");
    if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not there";
    const Directory directory = Directory::read(path);
    const auto gguf_bytes =
        tests::read_bytes(tests::golden_path("demo-model/bitnet-tiny-stories-5m-i2_s.gguf"));
    MemorySource source(gguf_bytes);
    const auto gguf_file = gguf::read(source);
    ASSERT_TRUE(gguf_file.ok());

    size_t compared = 0;
    for (const gguf::TensorInfo& info : gguf_file->tensors) {
        if (info.type != quant::Type::kI2_S) continue;
        SCOPED_TRACE(info.name);
        const quant::Shape shape{info.dims[1], info.dims[0]};
        const auto matrix = quant::open_ternary(
            quant::Type::kI2_S, shape,
            quant::read_from(
                std::span(gguf_bytes).subspan(gguf_file->data_start + info.offset, info.bytes)),
            {});
        ASSERT_TRUE(matrix.ok());
        std::vector<int8_t> expected(shape.rows * shape.columns);
        float expected_scale = 0;
        ASSERT_TRUE((*matrix)->read_rows(0, shape.rows, expected, {&expected_scale, 1}).ok());
        for (const TensorInfo& tensor : directory.file.tensors) {
            if (find_gguf_name(tensor.name, directory.config.family)->gguf_name != info.name) {
                continue;
            }
            const std::vector<float> values = directory.floats(tensor);
            quant::AbsMean mean;
            mean.add(values);
            std::vector<int8_t> digits(values.size());
            quant::ternarise(values, mean.value(), digits);
            EXPECT_TRUE(digits == expected);
            EXPECT_EQ(quant::ternary_scale(mean.value(), quant::Type::kBF16), expected_scale);
            ++compared;
        }
    }
    EXPECT_EQ(compared, 7 * directory.config.layers);
}

}  // namespace
}  // namespace bitnetd::safetensors
