// Goal: config.json becomes the keys that a GGUF file of the same model has; what no key says is
// refused. Method: small configurations; expected keys are written out.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/unit/worker/prepare/hf_checkpoint.h"

namespace bitnetd::worker::test {
namespace {

using nlohmann::json;

gguf::Metadata keys_of(const HfCheckpoint& checkpoint) {
    const auto input = checkpoint.open();
    if (!input.ok()) throw std::runtime_error(input.error().message);
    return (*input)->metadata();
}
uint64_t integer(const gguf::Metadata& keys, const std::string& key) {
    return gguf::required(key, keys.integer(key, UINT64_MAX)).value();
}
double number(const gguf::Metadata& keys, const std::string& key) {
    return gguf::required(key, keys.number(key)).value();
}
std::string text(const gguf::Metadata& keys, const std::string& key) {
    return std::string(gguf::required(key, keys.text(key)).value());
}

TEST(HfMetadata, Sizes) {
    HfCheckpoint checkpoint;
    checkpoint.config["_name_or_path"] = "some/where/tiny-llama";
    checkpoint.config["rms_norm_eps"] = 1e-5;
    checkpoint.config["rope_theta"] = 500000.0;
    const gguf::Metadata keys = keys_of(checkpoint);
    EXPECT_EQ(text(keys, "general.architecture"), "llama");
    EXPECT_EQ(text(keys, "general.name"), "tiny-llama");
    EXPECT_EQ(integer(keys, "llama.block_count"), 1u);
    EXPECT_EQ(integer(keys, "llama.context_length"), 64u);
    EXPECT_EQ(integer(keys, "llama.embedding_length"), HfCheckpoint::kHidden);
    EXPECT_EQ(integer(keys, "llama.feed_forward_length"), HfCheckpoint::kFfn);
    EXPECT_EQ(integer(keys, "llama.vocab_size"), HfCheckpoint::kVocab);
    EXPECT_EQ(integer(keys, "llama.attention.head_count"), HfCheckpoint::kHeads);
    EXPECT_EQ(integer(keys, "llama.attention.head_count_kv"), HfCheckpoint::kKvHeads);
    EXPECT_EQ(integer(keys, "llama.attention.key_length"), HfCheckpoint::kHeadDim);
    EXPECT_EQ(integer(keys, "llama.attention.value_length"), HfCheckpoint::kHeadDim);
    EXPECT_EQ(integer(keys, "llama.rope.dimension_count"), HfCheckpoint::kHeadDim);
    EXPECT_EQ(number(keys, "llama.attention.layer_norm_rms_epsilon"), double{1e-5f});
    EXPECT_EQ(number(keys, "llama.rope.freq_base"), 500000.0);
    for (const char* const absent :
         {"llama.rope.scaling.type", "llama.attention.scale", "llama.attention.sliding_window",
          "llama.pooling_type", "llama.activation", "llama.final_logit_softcapping"}) {
        EXPECT_EQ(keys.find(absent), nullptr) << absent;
    }
}

TEST(HfMetadata, ActivationOfBitNet) {
    HfCheckpoint checkpoint("BitNetForCausalLM");
    EXPECT_EQ(text(keys_of(checkpoint), "bitnet-b1.58.activation"), "relu2");
    checkpoint.config["hidden_act"] = "silu";
    EXPECT_EQ(text(keys_of(checkpoint), "bitnet-b1.58.activation"), "silu");
    EXPECT_EQ(text(keys_of(HfCheckpoint("BitnetForCausalLM")), "bitnet.activation"), "silu");
    checkpoint.config["hidden_act"] = "gelu_pytorch_tanh";
    EXPECT_NE(checkpoint.error().find("computed with 'relu2' or 'silu'"), std::string::npos);
    HfCheckpoint llama;
    llama.config["hidden_act"] = "relu2";
    EXPECT_EQ(llama.error(),
              "config.json: hidden_act is 'relu2'; models of class LlamaForCausalLM are computed "
              "with 'silu'");
}

TEST(HfMetadata, RopeScaling) {
    HfCheckpoint checkpoint;
    checkpoint.config["rope_scaling"] = {{"type", "linear"}, {"factor", 2.5}};
    gguf::Metadata keys = keys_of(checkpoint);
    EXPECT_EQ(text(keys, "llama.rope.scaling.type"), "linear");
    EXPECT_EQ(number(keys, "llama.rope.scaling.factor"), 2.5);

    checkpoint.config["rope_scaling"] = {{"type", "yarn"}, {"factor", 4}, {"beta_fast", 16}};
    keys = keys_of(checkpoint);
    EXPECT_EQ(text(keys, "llama.rope.scaling.type"), "yarn");
    EXPECT_EQ(number(keys, "llama.rope.scaling.factor"), 4.0);
    EXPECT_EQ(integer(keys, "llama.rope.scaling.original_context_length"), 64u);
    EXPECT_EQ(number(keys, "llama.rope.scaling.yarn_beta_fast"), 16.0);
    EXPECT_EQ(number(keys, "llama.rope.scaling.yarn_beta_slow"), 1.0);
    EXPECT_EQ(keys.find("llama.rope.scaling.attn_factor"), nullptr);

    checkpoint.config["rope_scaling"]["attention_factor"] = 1.5;
    checkpoint.config["rope_scaling"]["original_max_position_embeddings"] = 16;
    keys = keys_of(checkpoint);
    EXPECT_EQ(integer(keys, "llama.rope.scaling.original_context_length"), 16u);
    EXPECT_FLOAT_EQ(static_cast<float>(number(keys, "llama.rope.scaling.attn_factor")),
                    static_cast<float>(1.5 / (1 + 0.1 * std::log(4.0))));
}

TEST(HfMetadata, Gemma) {
    HfCheckpoint checkpoint("Gemma3ForCausalLM");
    checkpoint.config["num_hidden_layers"] = 1;
    checkpoint.config["query_pre_attn_scalar"] = 16;
    checkpoint.config["final_logit_softcapping"] = 30;
    checkpoint.config["sliding_window"] = 12;
    checkpoint.config["layer_types"] = {"sliding_attention"};
    gguf::Metadata keys = keys_of(checkpoint);
    EXPECT_EQ(number(keys, "gemma3.attention.scale"), 0.25);
    EXPECT_EQ(number(keys, "gemma3.final_logit_softcapping"), 30.0);
    EXPECT_EQ(integer(keys, "gemma3.attention.sliding_window"), 12u);
    EXPECT_EQ(integer(keys, "gemma3.attention.sliding_window_pattern"), 2u) << "no whole layer";
    EXPECT_EQ(number(keys, "gemma3.rope.freq_base_swa"), 10000.0);
    EXPECT_EQ(number(keys, "gemma3.rope.freq_base"), 1e6);

    checkpoint.config["layer_types"] = {"full_attention"};
    checkpoint.config["query_pre_attn_scalar"] = HfCheckpoint::kHeadDim;
    keys = keys_of(checkpoint);
    EXPECT_EQ(keys.find("gemma3.attention.sliding_window"), nullptr) << "no layer has one";
    EXPECT_EQ(keys.find("gemma3.attention.scale"), nullptr);
}

TEST(HfMetadata, WindowsRepeat) {
    const auto with = [](std::vector<std::string> types) {
        HfCheckpoint checkpoint("Gemma3ForCausalLM");
        checkpoint.config["num_hidden_layers"] = types.size();
        checkpoint.config["sliding_window"] = 12;
        checkpoint.config["layer_types"] = types;
        const auto one = checkpoint.tensors;
        for (size_t layer = 1; layer < types.size(); ++layer) {
            for (const auto& [name, tensor] : one) {
                const std::string prefix = "model.layers.0.";
                if (!name.starts_with(prefix)) continue;
                checkpoint.tensors["model.layers." + std::to_string(layer) + "." +
                                   name.substr(prefix.size())] = tensor;
            }
        }
        return checkpoint;
    };
    const std::string windowed = "sliding_attention";
    const std::string whole = "full_attention";
    EXPECT_EQ(integer(keys_of(with({windowed, windowed, whole, windowed})),
                      "gemma3.attention.sliding_window_pattern"),
              3u);
    EXPECT_EQ(with({windowed, whole, whole}).error(),
              "config.json: layer_types does not repeat every 2 layers; layer 2 differs");
}

TEST(HfMetadata, Pooling) {
    HfCheckpoint checkpoint("Qwen3ForCausalLM");
    EXPECT_EQ(keys_of(checkpoint).find("qwen3.pooling_type"), nullptr);
    checkpoint.texts["1_Pooling/config.json"] = R"({"pooling_mode_lasttoken": true})";
    EXPECT_EQ(integer(keys_of(checkpoint), "qwen3.pooling_type"), 3u);
    checkpoint.texts["1_Pooling/config.json"] = R"({"pooling_mode_max_tokens": true})";
    EXPECT_TRUE(checkpoint.error().starts_with("1_Pooling/config.json: exactly one"));
}

}  // namespace
}  // namespace bitnetd::worker::test
