// Goal: real directories read as what they are: shapes and values of every tensor, and the same
// tokens as the GGUF file of the same model.
// Method: the large golden set beside the repository, skipped with a word when it is not there.
// Values are computed here from the raw bytes, without the project's decoders.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <optional>

#include "common/gguf/gguf_reader.h"
#include "common/text/tokenizer.h"
#include "tests/support/golden.h"
#include "tests/unit/worker/prepare/hf_checkpoint.h"
#include "worker/prepare/vocabulary_from_gguf.h"

namespace bitnetd::worker::test {
namespace {

using nlohmann::json;

std::string read_text(const std::filesystem::path& path) {
    const auto bytes = tests::read_bytes(path);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// A directory and, apart from it, the raw bytes of its weights.
struct Directory {
    std::unique_ptr<ModelInput> input;
    json config;
    json header;
    std::string data;

    static std::optional<Directory> open(const std::string& name) {
        const auto path = tests::large_golden_path(name);
        if (!std::filesystem::exists(path)) return std::nullopt;
        std::vector<NamedSource> files;
        for (const auto& entry : std::filesystem::directory_iterator(path))
            files.push_back(named(entry.path().filename(), read_text(entry.path())));
        Directory out;
        auto input = open_hf(std::move(files), {});
        if (!input.ok()) throw std::runtime_error(input.error().message);
        out.input = std::move(*input);
        out.config = tests::read_json(path / "config.json");
        const std::string weights = read_text(path / "model.safetensors");
        uint64_t length = 0;
        std::memcpy(&length, weights.data(), sizeof length);
        out.header = json::parse(weights.substr(sizeof length, length));
        out.data = weights.substr(sizeof length + length);
        return out;
    }

    std::string_view bytes(const std::string& name) const {
        const auto& offsets = header.at(name).at("data_offsets");
        return std::string_view(data).substr(offsets[0].get<size_t>(),
                                             offsets[1].get<size_t>() - offsets[0].get<size_t>());
    }
    // BF16, the upper half of a float.
    std::vector<float> values(const std::string& name) const {
        const std::string_view raw = bytes(name);
        std::vector<float> out(raw.size() / 2, 0.0f);
        for (size_t i = 0; i < out.size(); ++i)
            std::memcpy(reinterpret_cast<char*>(&out[i]) + 2, raw.data() + 2 * i, 2);
        return out;
    }
    uint64_t size(const char* key) const { return config.at(key).get<uint64_t>(); }
};

#define OPEN_OR_SKIP(directory, name)                                              \
    const auto directory##_found = Directory::open(name);                          \
    if (!directory##_found) {                                                      \
        GTEST_SKIP() << "the large golden set with " << (name) << " is not there"; \
    }                                                                              \
    const Directory& directory = *directory##_found

const std::pair<const char*, const char*> kProjections[] = {
    {"self_attn.q_proj", "attn_q"}, {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"}, {"self_attn.o_proj", "attn_output"},
    {"mlp.gate_proj", "ffn_gate"},  {"mlp.up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},
};

TEST(HfGolden, LlamaBf16GoldenFull) {
    OPEN_OR_SKIP(directory, "models/st-llama-bf16");
    const uint64_t hidden = directory.size("hidden_size");
    const uint64_t head_dim = hidden / directory.size("num_attention_heads");
    EXPECT_EQ(floats_of(*directory.input, "token_embd.weight"),
              directory.values("model.embed_tokens.weight"));
    for (uint64_t layer = 0; layer < directory.size("num_hidden_layers"); ++layer) {
        const std::string from = "model.layers." + std::to_string(layer) + ".";
        const std::string to = "blk." + std::to_string(layer) + ".";
        EXPECT_EQ(floats_of(*directory.input, to + "attn_norm.weight"),
                  directory.values(from + "input_layernorm.weight"));
        EXPECT_EQ(floats_of(*directory.input, to + "ffn_norm.weight"),
                  directory.values(from + "post_attention_layernorm.weight"));
        for (const auto& [name, gguf] : kProjections) {
            const std::vector<float> stored = directory.values(from + name + ".weight");
            const std::vector<float> found = floats_of(*directory.input, to + gguf + ".weight");
            const bool rotated = gguf == std::string("attn_q") || gguf == std::string("attn_k");
            ASSERT_EQ(found.size(), stored.size());
            const uint64_t columns = directory.header[from + name + ".weight"]["shape"][1];
            for (size_t i = 0; i < found.size(); ++i) {
                const uint64_t row = i / columns;
                const uint64_t d = row % head_dim;
                const uint64_t hf = row - d + d % 2 * (head_dim / 2) + d / 2;
                ASSERT_EQ(found[i], stored[(rotated ? hf : row) * columns + i % columns]);
            }
        }
    }
    EXPECT_EQ(directory.input->tensors().size(), directory.header.size() - 1) << "all but metadata";
}

TEST(HfGolden, PackedGoldenFull) {
    OPEN_OR_SKIP(directory, "models/st-bitnet-packed");
    for (uint64_t layer = 0; layer < directory.size("num_hidden_layers"); ++layer) {
        for (const auto& [name, gguf] : kProjections) {
            const std::string weight =
                "model.layers." + std::to_string(layer) + "." + name + ".weight";
            SCOPED_TRACE(weight);
            const std::string_view raw = directory.bytes(weight);
            const uint64_t quarter = directory.header[weight]["shape"][0];
            const uint64_t columns = directory.header[weight]["shape"][1];
            std::vector<int8_t> expected(4 * raw.size());
            for (size_t i = 0; i < expected.size(); ++i) {
                const uint64_t row = i / columns;
                const auto byte = static_cast<uint8_t>(raw[row % quarter * columns + i % columns]);
                expected[i] = static_cast<int8_t>((byte >> 2 * (row / quarter) & 3) - 1);
            }
            const Ternary found = ternary_of(
                *directory.input, "blk." + std::to_string(layer) + "." + gguf + ".weight");
            EXPECT_TRUE(found.digits == expected);
            EXPECT_EQ(found.scale, directory.values(weight + "_scale")[0]) << "autobitlinear";
        }
    }
}

TEST(HfGolden, MastersGoldenFull) {
    OPEN_OR_SKIP(directory, "models/st-bitnet-master");
    for (uint64_t layer = 0; layer < directory.size("num_hidden_layers"); ++layer) {
        for (const auto& [name, gguf] : kProjections) {
            const std::string weight =
                "model.layers." + std::to_string(layer) + "." + name + ".weight";
            SCOPED_TRACE(weight);
            const std::vector<float> masters = directory.values(weight);
            double sum = 0;
            for (const float value : masters)
                sum += std::fabs(static_cast<double>(value));
            const auto mean = static_cast<float>(sum / static_cast<double>(masters.size()));
            const Ternary found = ternary_of(
                *directory.input, "blk." + std::to_string(layer) + "." + gguf + ".weight");
            for (size_t i = 0; i < masters.size(); ++i) {
                const float nearest = std::nearbyint(masters[i] * (1.0f / mean));
                ASSERT_EQ(found.digits[i], std::fmin(std::fmax(nearest, -1.0f), 1.0f));
            }
            EXPECT_NEAR(found.scale, mean, mean / 256) << "the mean to BF16's 8 bits";
            uint32_t bits = 0;
            std::memcpy(&bits, &found.scale, sizeof bits);
            EXPECT_EQ(bits & 0xFFFF, 0u);
        }
    }
}

// The image of a vocabulary, and a tokenizer that reads it.
struct Opened {
    std::vector<std::byte> image;
    std::optional<text::Tokenizer> tokenizer;

    explicit Opened(const gguf::Metadata& keys) {
        auto built = vocabulary_from_gguf(keys);
        if (!built.ok()) throw std::runtime_error(built.error().message);
        image = std::move(*built);
        tokenizer =
            std::move(text::Tokenizer::create(text::VocabularyView::open(image).value())).value();
    }
};

TEST(HfGolden, DemoTokenizerGoldenFull) {
    OPEN_OR_SKIP(directory, "../demo-model/hf");
    const auto bytes =
        tests::read_bytes(tests::golden_path("demo-model/bitnet-tiny-stories-5m-i2_s.gguf"));
    MemorySource source(bytes);
    const auto file = gguf::read(source);
    ASSERT_TRUE(file.ok()) << file.error().message;
    const Opened from_hf(directory.input->metadata());
    const Opened from_gguf(file->metadata);
    const auto& hf = from_hf.tokenizer->vocabulary();
    const auto& gguf = from_gguf.tokenizer->vocabulary();
    ASSERT_EQ(hf.token_count(), gguf.token_count());
    for (uint32_t id = 0; id < hf.token_count(); ++id) {
        EXPECT_EQ(hf.text(id), gguf.text(id));
        EXPECT_EQ(hf.type(id), gguf.type(id)) << id;
    }
    EXPECT_EQ(hf.bos(), gguf.bos());
    EXPECT_EQ(hf.eos(), gguf.eos());
    EXPECT_EQ(hf.eot(), gguf.eot());
    EXPECT_EQ(hf.has(text::kAddBos), gguf.has(text::kAddBos));
    EXPECT_EQ(hf.has(text::kIgnoreMerges), gguf.has(text::kIgnoreMerges));
    EXPECT_EQ(hf.chat_template(), gguf.chat_template());
    const auto ends = [](const auto& view) {
        return std::vector<uint32_t>(view.end_ids().begin(), view.end_ids().end());
    };
    EXPECT_EQ(ends(hf), ends(gguf));

    const json texts = tests::read_json(tests::large_golden_path("tokenizers/own-llama-bpe.json"));
    for (const json& entry : texts.at("texts")) {
        if (!entry.contains("text")) continue;
        const std::string text = entry["text"].get<std::string>() + "<|eot_id|>";
        for (const bool special : {false, true}) {
            const text::EncodeOptions options{.add_special = special, .parse_special = special};
            EXPECT_EQ(from_hf.tokenizer->encode(text, options).value(),
                      from_gguf.tokenizer->encode(text, options).value());
        }
    }
}

class GoldenPrompts : public ::testing::TestWithParam<const char*> {};

// The golden prompt "medium" is a text with the ids it must become.
TEST_P(GoldenPrompts, GoldenFull) {
    const std::string name = GetParam();
    OPEN_OR_SKIP(directory, "models/" + name);
    const Opened opened(directory.input->metadata());
    const json golden =
        tests::read_json(tests::large_golden_path("models/golden/" + name + ".json"));
    size_t compared = 0;
    for (const json& prompt : golden.at("prompts")) {
        if (!prompt.contains("text")) continue;
        const auto ids = opened.tokenizer->encode(
            prompt["text"].get<std::string>(), {.add_special = prompt.value("add_special", false)});
        EXPECT_EQ(ids.value(), prompt["ids"].get<std::vector<uint32_t>>());
        ++compared;
    }
    EXPECT_GT(compared, 0u);
    EXPECT_TRUE(opened.tokenizer->vocabulary().is_end_of_generation(2044));
    EXPECT_TRUE(opened.tokenizer->vocabulary().is_end_of_generation(2047));
}

INSTANTIATE_TEST_SUITE_P(Directories, GoldenPrompts,
                         ::testing::Values("st-llama-bf16", "st-bitnet-master", "st-bitnet-packed"),
                         [](const auto& name) {
                             std::string out = name.param;
                             std::replace(out.begin(), out.end(), '-', '_');
                             return out;
                         });

}  // namespace
}  // namespace bitnetd::worker::test
