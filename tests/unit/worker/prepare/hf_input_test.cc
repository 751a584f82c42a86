// Goal: a checkpoint reads as the GGUF file of the same model: names, row order, values and ternary
// digits; and one that is not what its config.json says is refused, naming the tensor.
// Method: a small checkpoint made by hand. What is expected is computed here from the values that
// were put in, by the formulas of the formats' descriptions.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numbers>

#include "tests/unit/worker/prepare/hf_checkpoint.h"

namespace bitnetd::worker::test {
namespace {

using Values = std::vector<float>;
using Digits = std::vector<int8_t>;

const std::string kLayer = "model.layers.0.";
constexpr uint64_t kHidden = HfCheckpoint::kHidden;
constexpr uint64_t kFfn = HfCheckpoint::kFfn;
constexpr uint64_t kHeadDim = HfCheckpoint::kHeadDim;

std::unique_ptr<ModelInput> open(const HfCheckpoint& checkpoint) {
    auto input = checkpoint.open();
    if (!input.ok()) throw std::runtime_error(input.error().message);
    return std::move(*input);
}

// GGUF row (head, 2p + b) is the checkpoint's row (head, b * D/2 + p).
template <typename T>
std::vector<T> in_llama_order(const std::vector<T>& values, uint64_t columns) {
    std::vector<T> out(values.size());
    for (uint64_t head = 0; head < values.size() / columns / kHeadDim; ++head) {
        for (uint64_t p = 0; p < kHeadDim / 2; ++p) {
            for (uint64_t b = 0; b < 2; ++b) {
                for (uint64_t c = 0; c < columns; ++c) {
                    const uint64_t to = head * kHeadDim + 2 * p + b;
                    const uint64_t from = head * kHeadDim + b * kHeadDim / 2 + p;
                    out[to * columns + c] = values[from * columns + c];
                }
            }
        }
    }
    return out;
}

// Half the digits of a matrix are not zero.
struct Packed {
    Digits digits;
    HfStored stored;
};
Packed packed(uint64_t rows, uint64_t columns) {
    Packed out;
    const uint64_t quarter = (rows + 3) / 4;
    std::vector<uint8_t> bytes(quarter * columns, 0);
    for (uint64_t row = 0; row < rows; ++row) {
        for (uint64_t column = 0; column < columns; ++column) {
            const auto digit =
                static_cast<int8_t>(static_cast<int>((row * 7 + column) % 5 % 3) - 1);
            out.digits.push_back(digit);
            bytes[row % quarter * columns + column] |=
                static_cast<uint8_t>((digit + 1) << row / quarter * 2);
        }
    }
    out.stored = hf_bytes({quarter, columns}, bytes);
    return out;
}

const std::pair<const char*, const char*> kProjections[] = {
    {"self_attn.q_proj", "attn_q"}, {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"}, {"self_attn.o_proj", "attn_output"},
    {"mlp.gate_proj", "ffn_gate"},  {"mlp.up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},
};

// All projections packed, with the scale 4.
HfCheckpoint packed_checkpoint(const std::string& architecture) {
    HfCheckpoint checkpoint(architecture);
    checkpoint.config["quantization_config"] = {{"quant_method", "bitnet"}};
    for (const auto& [name, gguf] : kProjections) {
        const std::string weight = kLayer + name + ".weight";
        const auto shape = checkpoint.tensors.at(weight).shape;
        checkpoint.tensors[weight] = packed(shape[0], shape[1]).stored;
        checkpoint.tensors[weight + "_scale"] = hf_floats("BF16", {1}, {4});
    }
    return checkpoint;
}

TEST(HfInput, LlamaRowsAreInGgufOrder) {
    HfCheckpoint checkpoint;
    checkpoint.config["attention_bias"] = true;
    for (const char* const name : {"q_proj", "k_proj", "v_proj", "o_proj"}) {
        const std::string prefix = kLayer + "self_attn." + name;
        checkpoint.add(prefix + ".bias", {checkpoint.tensors.at(prefix + ".weight").shape[0]});
    }
    const auto input = open(checkpoint);
    const std::string attention = kLayer + "self_attn.";
    for (const auto& [part, columns] :
         {std::pair{".weight", kHidden}, std::pair{".bias", uint64_t{1}}}) {
        const auto value = [&](const char* name) {
            return checkpoint.values(attention + name + part);
        };
        EXPECT_EQ(floats_of(*input, std::string("blk.0.attn_q") + part),
                  in_llama_order(value("q_proj"), columns));
        EXPECT_EQ(floats_of(*input, std::string("blk.0.attn_k") + part),
                  in_llama_order(value("k_proj"), columns));
        EXPECT_EQ(floats_of(*input, std::string("blk.0.attn_v") + part), value("v_proj"));
        EXPECT_EQ(floats_of(*input, std::string("blk.0.attn_output") + part), value("o_proj"));
    }
    EXPECT_EQ(tensor_of(*input, "blk.0.attn_q.bias").shape.rows, 1u);
}

TEST(HfInput, OtherFamiliesKeepTheirRows) {
    HfCheckpoint checkpoint("Qwen2ForCausalLM");
    const auto input = open(checkpoint);
    EXPECT_EQ(floats_of(*input, "blk.0.attn_q.weight"),
              checkpoint.values(kLayer + "self_attn.q_proj.weight"));
    EXPECT_EQ(floats_of(*input, "blk.0.attn_k.bias"),
              checkpoint.values(kLayer + "self_attn.k_proj.bias"));
}

TEST(HfInput, RowsAndBytesInParts) {
    HfCheckpoint checkpoint;
    const std::string name = kLayer + "self_attn.q_proj.weight";
    checkpoint.tensors[name] = hf_floats("BF16", {16, kHidden}, checkpoint.values(name));
    const auto input = open(checkpoint);
    const ModelTensor& tensor = tensor_of(*input, "blk.0.attn_q.weight");
    EXPECT_EQ(tensor.type, quant::Type::kBF16);
    EXPECT_EQ(tensor.bytes, 16 * kHidden * 2);
    EXPECT_FALSE(tensor.ternary);
    const Values all = in_llama_order(checkpoint.values(name), kHidden);
    Values part(3 * kHidden);
    ASSERT_TRUE(input->read_floats(tensor, 5, 3, part).ok());
    EXPECT_EQ(part, Values(all.begin() + 5 * kHidden, all.begin() + 8 * kHidden));
    std::vector<std::byte> bytes(3 * kHidden * 2);
    ASSERT_TRUE(input->read_bytes(tensor, 5, 3, bytes).ok());
    EXPECT_EQ(bytes, hf_floats("BF16", {}, part).data);
}

TEST(HfInput, PackedWeights) {
    for (const char* const architecture : {"LlamaForCausalLM", "BitNetForCausalLM"}) {
        SCOPED_TRACE(architecture);
        const HfCheckpoint checkpoint = packed_checkpoint(architecture);
        const bool llama = architecture == std::string("LlamaForCausalLM");
        HfCheckpoint other = checkpoint;
        other.config["quantization_config"]["linear_class"] = "autobitlinear";
        const auto divided = open(checkpoint);
        const auto multiplied = open(other);
        for (const auto& [name, gguf] : kProjections) {
            const std::string weight = "blk.0." + std::string(gguf) + ".weight";
            SCOPED_TRACE(weight);
            const ModelTensor& tensor = tensor_of(*divided, weight);
            EXPECT_TRUE(tensor.ternary);
            EXPECT_EQ(tensor.type, quant::Type::kPackedU8);
            Digits expected = packed(tensor.shape.rows, tensor.shape.columns).digits;
            const bool rotated = gguf == std::string("attn_q") || gguf == std::string("attn_k");
            if (llama && rotated) expected = in_llama_order(expected, tensor.shape.columns);
            EXPECT_EQ(ternary_of(*divided, weight).digits, expected);
            EXPECT_EQ(ternary_of(*divided, weight).scale, 0.25f);
            EXPECT_EQ(ternary_of(*multiplied, weight).scale, 4.0f);
        }
    }
}

TEST(HfInput, PackedRowsOneByOne) {
    const auto input = open(packed_checkpoint("LlamaForCausalLM"));
    const Digits all = ternary_of(*input, "blk.0.attn_q.weight").digits;
    const auto matrix = input->open_ternary(tensor_of(*input, "blk.0.attn_q.weight"));
    ASSERT_TRUE(matrix.ok());
    for (uint64_t row = 0; row < 16; ++row) {
        Digits digits(kHidden);
        float scale = 0;
        ASSERT_TRUE((*matrix)->read_rows(row, 1, digits, {&scale, 1}).ok());
        EXPECT_TRUE(std::equal(digits.begin(), digits.end(),
                               all.begin() + static_cast<ptrdiff_t>(row * kHidden)));
    }
}

TEST(HfInput, ModulesThatAreNotConverted) {
    HfCheckpoint checkpoint = packed_checkpoint("LlamaForCausalLM");
    const std::string name = kLayer + "mlp.up_proj.weight";
    checkpoint.add(name, {kFfn, kHidden});
    EXPECT_NE(checkpoint.error().find("'" + name + "' has dtype F32; expected U8"),
              std::string::npos)
        << checkpoint.error();
    checkpoint.config["quantization_config"]["modules_to_not_convert"] = {"up_proj"};
    EXPECT_NE(checkpoint.error().find(name + "_scale' is not part of"), std::string::npos)
        << "a scale without a packed weight";
    checkpoint.tensors.erase(name + "_scale");
    const auto input = open(checkpoint);
    EXPECT_FALSE(tensor_of(*input, "blk.0.ffn_up.weight").ternary);
    EXPECT_EQ(floats_of(*input, "blk.0.ffn_up.weight"), checkpoint.values(name));
    EXPECT_TRUE(tensor_of(*input, "blk.0.ffn_gate.weight").ternary);
}

TEST(HfInput, MastersAreTernarised) {
    struct Case {
        const char* architecture;
        bool says_online;
    };
    for (const Case& c : {Case{"BitNetForCausalLM", true}, Case{"LlamaForCausalLM", true},
                          Case{"BitnetForCausalLM", false}}) {
        SCOPED_TRACE(c.architecture);
        HfCheckpoint checkpoint(c.architecture);
        if (c.says_online) {
            checkpoint.config["quantization_config"] = {{"quant_method", "bitnet"},
                                                        {"quantization_mode", "online"}};
        }
        const std::string name = kLayer + "self_attn.k_proj.weight";
        Values masters = checkpoint.values(name);
        checkpoint.tensors[name] = hf_floats("BF16", {8, kHidden}, masters);
        double sum = 0;
        for (const float value : masters)
            sum += std::fabs(static_cast<double>(value));
        const auto mean = static_cast<float>(sum / static_cast<double>(masters.size()));
        if (c.architecture == std::string("LlamaForCausalLM"))
            masters = in_llama_order(masters, kHidden);
        Digits expected;
        for (const float value : masters) {
            const double scaled = std::nearbyint(value * (1.0f / mean));
            expected.push_back(static_cast<int8_t>(std::fmin(std::fmax(scaled, -1), 1)));
        }
        uint32_t bits = 0;
        std::memcpy(&bits, &mean, sizeof bits);
        bits = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000;
        float rounded = 0;
        std::memcpy(&rounded, &bits, sizeof rounded);

        const auto input = open(checkpoint);
        EXPECT_TRUE(tensor_of(*input, "blk.0.attn_k.weight").ternary);
        EXPECT_EQ(tensor_of(*input, "blk.0.attn_k.weight").type, quant::Type::kBF16);
        const Ternary found = ternary_of(*input, "blk.0.attn_k.weight");
        EXPECT_EQ(found.digits, expected);
        EXPECT_EQ(found.scale, rounded) << "in the checkpoint's type";
        EXPECT_FALSE(tensor_of(*input, "token_embd.weight").ternary);
    }
}

TEST(HfInput, BitNetWithoutQuantizationHasPlainMatrices) {
    const auto input = open(HfCheckpoint("BitNetForCausalLM"));
    EXPECT_FALSE(tensor_of(*input, "blk.0.attn_q.weight").ternary);
}

TEST(HfInput, NormsOfGemmaHaveOneAdded) {
    HfCheckpoint checkpoint("Gemma3ForCausalLM");
    checkpoint.add(kLayer + "mlp.gate_proj.norm.weight", {kHidden});
    for (auto& [name, tensor] : checkpoint.tensors)
        tensor = hf_floats("BF16", tensor.shape, checkpoint.values(name));
    const auto input = open(checkpoint);
    const std::pair<const char*, std::string> plus_one[] = {
        {"output_norm", "model.norm"},
        {"blk.0.attn_norm", kLayer + "input_layernorm"},
        {"blk.0.attn_q_norm", kLayer + "self_attn.q_norm"},
        {"blk.0.attn_k_norm", kLayer + "self_attn.k_norm"},
        {"blk.0.post_attention_norm", kLayer + "post_attention_layernorm"},
        {"blk.0.ffn_norm", kLayer + "pre_feedforward_layernorm"},
        {"blk.0.post_ffw_norm", kLayer + "post_feedforward_layernorm"},
    };
    for (const auto& [gguf, name] : plus_one) {
        SCOPED_TRACE(gguf);
        Values expected = checkpoint.values(name + ".weight");
        for (float& value : expected)
            value += 1;
        const ModelTensor& tensor = tensor_of(*input, std::string(gguf) + ".weight");
        EXPECT_EQ(floats_of(*input, tensor.name), expected);
        EXPECT_EQ(tensor.type, quant::Type::kF32);
        std::vector<std::byte> bytes(tensor.bytes);
        ASSERT_TRUE(input->read_bytes(tensor, 0, 1, bytes).ok());
        EXPECT_EQ(bytes, hf_floats("F32", {}, expected).data);
    }
    EXPECT_EQ(floats_of(*input, "blk.0.ffn_gate_norm_in.weight"),
              checkpoint.values(kLayer + "mlp.gate_proj.norm.weight"));
    EXPECT_EQ(tensor_of(*input, "blk.0.ffn_gate_norm_in.weight").type, quant::Type::kBF16);
    const auto plain = open(HfCheckpoint("LlamaForCausalLM"));
    EXPECT_EQ(floats_of(*plain, "output_norm.weight"),
              HfCheckpoint("LlamaForCausalLM").values("model.norm.weight"));
}

TEST(HfInput, NormsOfTheirOwnInput) {
    HfCheckpoint checkpoint = packed_checkpoint("LlamaForCausalLM");
    auto& quantization = checkpoint.config["quantization_config"];
    quantization["use_rms_norm"] = true;
    EXPECT_NE(checkpoint.error().find("'model.layers.0.self_attn.q_proj.norm.weight' is missing"),
              std::string::npos)
        << checkpoint.error();
    for (const auto& [name, gguf] : kProjections) {
        const uint64_t inputs = name == std::string("mlp.down_proj") ? kFfn : kHidden;
        checkpoint.add(kLayer + name + ".rms_norm.weight", {inputs});
    }
    EXPECT_EQ(floats_of(*open(checkpoint), "blk.0.ffn_down_norm_in.weight"),
              checkpoint.values(kLayer + "mlp.down_proj.rms_norm.weight"));
    quantization["rms_norm_eps"] = 1e-5;
    EXPECT_NE(checkpoint.error().find("quantization_config.rms_norm_eps"), std::string::npos);
}

TEST(HfInput, RotaryFactorsOfLlama3) {
    HfCheckpoint checkpoint;
    checkpoint.config["rope_theta"] = 500000;
    checkpoint.config["head_dim"] = kHeadDim;
    checkpoint.config["rope_scaling"] = {{"rope_type", "llama3"},
                                         {"factor", 32},
                                         {"low_freq_factor", 1},
                                         {"high_freq_factor", 4},
                                         {"original_max_position_embeddings", 8192}};
    const auto input = open(checkpoint);
    const ModelTensor& tensor = tensor_of(*input, "rope_freqs.weight");
    EXPECT_EQ(tensor.type, quant::Type::kF32);
    EXPECT_EQ(tensor.shape.columns, kHeadDim / 2);
    // Wavelengths 2 pi, below 2048, and 2 pi * sqrt(500000) = 4442.9, between 2048 and 8192.
    const double smooth = (8192 / (2 * std::numbers::pi * std::sqrt(500000.0)) - 1) / (4.0 - 1);
    const auto factor = static_cast<float>(1 / ((1 - smooth) / 32 + smooth));
    const Values factors = floats_of(*input, tensor.name);
    EXPECT_EQ(factors[0], 1.0f);
    EXPECT_FLOAT_EQ(factors[1], factor);
    std::vector<std::byte> bytes(tensor.bytes);
    ASSERT_TRUE(input->read_bytes(tensor, 0, 1, bytes).ok());
    EXPECT_EQ(bytes, hf_floats("F32", {}, factors).data);
}

TEST(HfInput, TheHead) {
    HfCheckpoint checkpoint;
    checkpoint.add("lm_head.weight", {HfCheckpoint::kVocab, kHidden});
    const auto has_output = [](const ModelInput& input) {
        const auto& tensors = input.tensors();
        return std::any_of(tensors.begin(), tensors.end(),
                           [](const ModelTensor& t) { return t.name == "output.weight"; });
    };
    EXPECT_FALSE(has_output(*open(checkpoint))) << "tied";
    checkpoint.config["tie_word_embeddings"] = false;
    EXPECT_EQ(floats_of(*open(checkpoint), "output.weight"), checkpoint.values("lm_head.weight"));
    checkpoint.tensors.erase("lm_head.weight");
    EXPECT_NE(checkpoint.error().find("'lm_head.weight' is missing"), std::string::npos);
    checkpoint.config["architectures"] = {"LlamaModel"};
    EXPECT_FALSE(has_output(*open(checkpoint))) << "a model without its head";
}

TEST(HfInput, NamesWithoutModel) {
    HfCheckpoint checkpoint("Qwen3ForCausalLM");
    checkpoint.config["architectures"] = {"Qwen3Model"};
    std::map<std::string, HfStored> short_names;
    for (const auto& [name, tensor] : checkpoint.tensors)
        short_names[name.substr(std::string("model.").size())] = tensor;
    checkpoint.tensors = short_names;
    const auto input = open(checkpoint);
    EXPECT_EQ(floats_of(*input, "blk.0.attn_q_norm.weight"),
              checkpoint.values("layers.0.self_attn.q_norm.weight"));
}

TEST(HfInput, WrongTensorsAreNamed) {
    const auto error_with = [](auto change) {
        HfCheckpoint checkpoint;
        change(checkpoint);
        return checkpoint.error();
    };
    const std::string q = kLayer + "self_attn.q_proj.weight";
    EXPECT_EQ(error_with([&](HfCheckpoint& c) { c.tensors.erase(q); }),
              "tensor '" + q +
                  "' is missing; a LlamaForCausalLM with this config.json has it as "
                  "[16, 16]");
    EXPECT_EQ(error_with([&](HfCheckpoint& c) {
                  c.add(q, {8, 16});
              }),
              "model.safetensors: tensor '" + q + "' is [8, 16]; config.json makes it [16, 16]");
    EXPECT_EQ(error_with([&](HfCheckpoint& c) { c.add("model.layers.1.mlp.up_proj.weight", {1}); }),
              "model.safetensors: tensor 'model.layers.1.mlp.up_proj.weight' is not part of a "
              "LlamaForCausalLM with this config.json");
    EXPECT_EQ(error_with([&](HfCheckpoint& c) { c.add("visual.patch.weight", {1}); }),
              "model.safetensors: tensor 'visual.patch.weight' is not part of a LlamaForCausalLM "
              "with this config.json");
    EXPECT_EQ(error_with([&](HfCheckpoint& c) { c.tensors[q].dtype = "I32"; }),
              "model.safetensors: tensor '" + q + "' has dtype I32; expected F32, F16 or BF16");
    EXPECT_EQ(error_with([&](HfCheckpoint& c) { c.add("norm.weight", {kHidden}); }),
              "tensors 'model.norm.weight' and 'norm.weight' are both output_norm.weight of the "
              "model");
    EXPECT_EQ(
        error_with([&](HfCheckpoint& c) { c.add(kLayer + "self_attn.rotary_emb.inv_freq", {2}); }),
        "")
        << "follows from config.json";
}

TEST(HfInput, WrongNumbersAreNamed) {
    HfCheckpoint checkpoint;
    const std::string name = kLayer + "mlp.down_proj.weight";
    Values values = checkpoint.values(name);
    values[3 * kFfn + 5] = std::numeric_limits<float>::infinity();
    checkpoint.tensors[name] = hf_floats("F32", {kHidden, kFfn}, values);
    const auto input = open(checkpoint);
    const ModelTensor& tensor = tensor_of(*input, "blk.0.ffn_down.weight");
    Values out(2 * kFfn);
    const auto read = input->read_floats(tensor, 2, 2, out);
    ASSERT_FALSE(read.ok());
    EXPECT_EQ(read.error().message, "'" + name + "': row 3, column 5 is not finite");

    checkpoint.config["quantization_config"] = {{"quant_method", "bitnet"},
                                                {"quantization_mode", "online"}};
    const auto online = open(checkpoint);
    const auto matrix = online->open_ternary(tensor_of(*online, "blk.0.ffn_down.weight"));
    ASSERT_FALSE(matrix.ok());
    EXPECT_EQ(matrix.error().message, "'" + name + "': row 3, column 5 is not finite");
}

TEST(HfInput, WrongPackedWeightsAreNamed) {
    HfCheckpoint checkpoint = packed_checkpoint("LlamaForCausalLM");
    const std::string name = kLayer + "mlp.down_proj.weight";
    HfCheckpoint no_scale = checkpoint;
    no_scale.tensors.erase(name + "_scale");
    EXPECT_EQ(no_scale.error(),
              "tensor '" + name + "_scale' is missing, the scale of the packed '" + name + "'");
    HfCheckpoint unpacked = checkpoint;
    unpacked.tensors[name] = hf_bytes({kHidden, kFfn}, std::vector<uint8_t>(kHidden * kFfn, 0));
    EXPECT_EQ(unpacked.error(),
              "model.safetensors: tensor '" + name + "' is [16, 24]; config.json makes it [4, 24]");
    checkpoint.tensors[name + "_scale"] = hf_floats("F32", {1}, {-1});
    const auto input = open(checkpoint);
    const auto matrix = input->open_ternary(tensor_of(*input, "blk.0.ffn_down.weight"));
    ASSERT_FALSE(matrix.ok());
    EXPECT_NE(matrix.error().message.find(name + "': weight_scale is -1"), std::string::npos);
    HfCheckpoint code = packed_checkpoint("LlamaForCausalLM");
    code.tensors[name].data[5] = std::byte{3};
    EXPECT_THROW(ternary_of(*open(code), "blk.0.ffn_down.weight"), std::runtime_error);
}

TEST(HfInput, ShardsAreOneModel) {
    const HfCheckpoint whole;
    std::map<std::string, HfStored> parts[2];
    nlohmann::json map;
    size_t next = 0;
    for (const auto& [name, tensor] : whole.tensors) {
        const size_t part = next++ % 2;
        parts[part][name] = tensor;
        map[name] = "model-0000" + std::to_string(part + 1) + "-of-00002.safetensors";
    }
    const auto files = [&] {
        std::vector<NamedSource> out;
        out.push_back(named("model-00002-of-00002.safetensors", safetensors_file(parts[1])));
        out.push_back(
            named("model.safetensors.index.json", nlohmann::json{{"weight_map", map}}.dump()));
        out.push_back(named("tokenizer.json", whole.tokenizer.dump()));
        out.push_back(named("model-00001-of-00002.safetensors", safetensors_file(parts[0])));
        out.push_back(named("config.json", whole.config.dump()));
        return out;
    };
    auto sharded = open_hf(files(), {});
    ASSERT_TRUE(sharded.ok()) << sharded.error().message;
    const auto single = open(whole);
    for (const ModelTensor& tensor : single->tensors())
        EXPECT_EQ(floats_of(**sharded, tensor.name), floats_of(*single, tensor.name));

    auto missing = files();
    missing.erase(missing.begin());
    const auto refused = open_hf(std::move(missing), {});
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().message,
              "model.safetensors.index.json: the directory has no "
              "'model-00002-of-00002.safetensors'");
}

TEST(HfInput, AllBytesInTheOrderOfNames) {
    HfCheckpoint checkpoint;
    checkpoint.texts["README.md"] = "words";
    auto files = checkpoint.files();
    std::map<std::string, std::string> by_name;
    for (const NamedSource& file : files) {
        std::string& content = by_name[file.name];
        content.resize(file.source->bytes());
        ASSERT_TRUE(file.source->read_at(0, std::as_writable_bytes(std::span(content))).ok());
    }
    std::string expected;
    for (const auto& [name, content] : by_name)
        expected += content;
    const auto input = open_hf(std::move(files), {});
    ASSERT_TRUE(input.ok());
    std::string all;
    ASSERT_TRUE((*input)
                    ->read_all([&](std::span<const std::byte> part) {
                        all.append(reinterpret_cast<const char*>(part.data()), part.size());
                    })
                    .ok());
    EXPECT_EQ(all, expected);
    EXPECT_EQ((*input)->file_bytes(), expected.size());
}

TEST(HfInput, MissingFilesAreNamed) {
    HfCheckpoint checkpoint;
    checkpoint.tokenizer = nullptr;
    EXPECT_EQ(checkpoint.error(), "the directory has no tokenizer.json");
    checkpoint.texts["tokenizer.model"] = "protobuf";
    EXPECT_NE(checkpoint.error().find("has tokenizer.model but no tokenizer.json"),
              std::string::npos);
    checkpoint = HfCheckpoint();
    checkpoint.config = nullptr;
    EXPECT_EQ(checkpoint.error(), "the directory has no config.json");

    const auto open_files = [](const std::vector<std::string>& names) {
        std::vector<NamedSource> files;
        files.push_back(named("config.json", HfCheckpoint().config.dump()));
        for (const std::string& name : names)
            files.push_back(named(name, safetensors_file({})));
        const auto input = open_hf(std::move(files), {});
        return input.ok() ? "" : input.error().message;
    };
    EXPECT_NE(open_files({"pytorch_model.bin"}).find("are programs and are never read"),
              std::string::npos);
    EXPECT_NE(open_files({"a.safetensors", "b.safetensors"}).find("has 2 .safetensors files"),
              std::string::npos);
    EXPECT_EQ(open_files({"x", "x"}), "file 'x' is given twice");
}

}  // namespace
}  // namespace bitnetd::worker::test
