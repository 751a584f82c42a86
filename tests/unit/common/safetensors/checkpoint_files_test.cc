// Goal: the JSON files of a checkpoint become plain values, with the defaults of the model's class,
// and what is wrong is refused by key; shards, names and row orders are those of the format.
// Method: golden configurations; one deviation per rule; worked names of each family; the
// permutation against its definition.
#include <gtest/gtest.h>

#include <set>

#include "common/safetensors/hf_config.h"
#include "common/safetensors/hf_side_files.h"
#include "common/safetensors/row_permutation.h"
#include "common/safetensors/shard_index.h"
#include "common/safetensors/tensor_names.h"
#include "tests/support/golden.h"

namespace bitnetd::safetensors {
namespace {

using nlohmann::json;

json small_config() {
    return json{{"architectures", {"LlamaForCausalLM"}},
                {"hidden_size", 64},
                {"num_hidden_layers", 2},
                {"intermediate_size", 96},
                {"num_attention_heads", 4},
                {"max_position_embeddings", 256},
                {"vocab_size", 100}};
}

ModelConfig config_of(const json& fields) {
    auto config = parse_model_config(fields.dump());
    if (!config.ok()) throw std::runtime_error(config.error().message);
    return std::move(config).value();
}

// What the parser says when `changes` are made to the small configuration.
std::string refusal(const json& changes) {
    json config = small_config();
    config.update(changes);
    const auto parsed = parse_model_config(config.dump());
    return parsed.ok() ? "" : parsed.error().message;
}

TEST(HfConfig, GoldenLlama) {
    const ModelConfig config =
        config_of(tests::read_json(tests::golden_path("hf/llama-bf16.config.json")));
    EXPECT_EQ(config.family, Family::kLlama);
    EXPECT_EQ(gguf_architecture(config.family), "llama");
    EXPECT_EQ(config.hidden_size, 128u);
    EXPECT_EQ(config.layers, 2u);
    EXPECT_EQ(config.intermediate_size, 192u);
    EXPECT_EQ(config.heads, 4u);
    EXPECT_EQ(config.kv_heads, 2u);
    EXPECT_EQ(config.head_dim, 32u);
    EXPECT_EQ(config.context_length, 1024u);
    EXPECT_EQ(config.vocab_size, 2048u);
    EXPECT_EQ(config.rms_norm_eps, 1e-5);
    EXPECT_EQ(config.rope_theta, 10000);
    EXPECT_EQ(config.activation, Activation::kSilu);
    EXPECT_TRUE(config.tie_word_embeddings);
    EXPECT_EQ(config.bos_id, 2043u);
    EXPECT_EQ(config.eos_ids, (std::vector<uint32_t>{2044, 2047}));
    EXPECT_EQ(config.dtype, "bfloat16");
    EXPECT_FALSE(config.quantization.has_value());
}

TEST(HfConfig, GoldenBitnet) {
    const ModelConfig config =
        config_of(tests::read_json(tests::golden_path("hf/bitnet-master.config.json")));
    EXPECT_EQ(config.family, Family::kBitNet);
    EXPECT_EQ(gguf_architecture(config.family), "bitnet-b1.58");
    EXPECT_EQ(config.activation, Activation::kRelu2);
    EXPECT_EQ(config.rope_theta, 500000);
    ASSERT_TRUE(config.quantization.has_value());
    EXPECT_EQ(config.quantization->linear_class, LinearClass::kAutoBitLinear);
    EXPECT_EQ(config.quantization->mode, QuantizationMode::kOnline);
}

TEST(HfConfig, DefaultsAreThoseOfTheClass) {
    const auto with = [](const char* architecture) {
        json config = small_config();
        config["architectures"] = {architecture};
        return config_of(config);
    };
    const ModelConfig llama = with("LlamaForCausalLM");
    EXPECT_EQ(llama.kv_heads, 4u);
    EXPECT_EQ(llama.head_dim, 16u);
    EXPECT_EQ(llama.rms_norm_eps, 1e-6);
    EXPECT_EQ(llama.rope_theta, 10000);
    EXPECT_FALSE(llama.tie_word_embeddings);
    EXPECT_FALSE(llama.attention_bias);
    EXPECT_FALSE(llama.bos_id.has_value());
    const ModelConfig bitnet = with("BitNetForCausalLM");
    EXPECT_EQ(bitnet.rms_norm_eps, 1e-5);
    EXPECT_EQ(bitnet.rope_theta, 500000);
    EXPECT_EQ(bitnet.activation, Activation::kRelu2);
    const ModelConfig bitnet1 = with("BitnetForCausalLM");
    EXPECT_EQ(bitnet1.family, Family::kBitnet1);
    EXPECT_EQ(bitnet1.activation, Activation::kSilu);
    EXPECT_EQ(with("Qwen3ForCausalLM").head_dim, 128u);
    const ModelConfig gemma = with("Gemma3ForCausalLM");
    EXPECT_EQ(gemma.head_dim, 256u);
    EXPECT_EQ(gemma.activation, Activation::kGeluTanh);
    EXPECT_EQ(gemma.rope_theta, 1e6);
    EXPECT_EQ(gemma.rope_theta_windowed, 10000);
    EXPECT_TRUE(gemma.tie_word_embeddings);
    EXPECT_EQ(gemma.windowed, std::vector<bool>(2, false));
}

TEST(HfConfig, RopeScaling) {
    json config = small_config();
    config["rope_scaling"] = json{{"rope_type", "llama3"},
                                  {"factor", 32.0},
                                  {"low_freq_factor", 1.0},
                                  {"high_freq_factor", 4.0},
                                  {"original_max_position_embeddings", 8192}};
    RopeScaling scaling = config_of(config).rope_scaling;
    EXPECT_EQ(scaling.stretch, RopeStretch::kLlama3);
    EXPECT_EQ(scaling.factor, 32);
    EXPECT_EQ(scaling.original_context, 8192u);
    config["rope_scaling"] = json{{"type", "linear"}, {"factor", 2}};
    scaling = config_of(config).rope_scaling;
    EXPECT_EQ(scaling.stretch, RopeStretch::kLinear);
    EXPECT_EQ(scaling.factor, 2);
    config["rope_scaling"] = nullptr;
    EXPECT_EQ(config_of(config).rope_scaling.stretch, RopeStretch::kNone);
    EXPECT_EQ(refusal({{"rope_scaling", {{"type", "longrope"}}}}),
              "rope_scaling of type 'longrope' is not one that can be computed");
    EXPECT_EQ(refusal({{"rope_scaling", {{"type", "linear"}, {"factor", 0}}}}),
              "rope_scaling.factor: expected a number from 1.0 to 1000000.0, found 0");
    EXPECT_EQ(refusal({{"rope_scaling", {{"type", "llama3"}, {"high_freq_factor", 1}}}}),
              "rope_scaling.high_freq_factor: expected more than low_freq_factor, found 1");
}

TEST(HfConfig, RopeParametersOfNewerFiles) {
    json config = small_config();
    config["rope_parameters"] =
        json{{"rope_theta", 500000}, {"rope_type", "linear"}, {"factor", 4}};
    EXPECT_EQ(config_of(config).rope_theta, 500000);
    EXPECT_EQ(config_of(config).rope_scaling.stretch, RopeStretch::kLinear);
    config["architectures"] = {"Gemma3ForCausalLM"};
    config["rope_parameters"] =
        json{{"full_attention", {{"rope_type", "linear"}, {"factor", 8}, {"rope_theta", 2e6}}},
             {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", 20000}}}};
    const ModelConfig gemma = config_of(config);
    EXPECT_EQ(gemma.rope_theta, 2e6);
    EXPECT_EQ(gemma.rope_theta_windowed, 20000);
    EXPECT_EQ(gemma.rope_scaling.factor, 8);
}

TEST(HfConfig, WindowsOfGemma) {
    json config = small_config();
    config["architectures"] = {"Gemma3ForCausalLM"};
    config["num_hidden_layers"] = 7;
    config["sliding_window"] = 512;
    EXPECT_EQ(config_of(config).windowed,
              (std::vector<bool>{true, true, true, true, true, false, true}));
    config["sliding_window_pattern"] = 2;
    EXPECT_EQ(config_of(config).windowed,
              (std::vector<bool>{true, false, true, false, true, false, true}));
    config["num_hidden_layers"] = 2;
    config["layer_types"] = {"full_attention", "sliding_attention"};
    EXPECT_EQ(config_of(config).windowed, (std::vector<bool>{false, true}));
    config["layer_types"] = {"full_attention", "linear_attention"};
    EXPECT_EQ(parse_model_config(config.dump()).error().message,
              "layer_types names 'linear_attention'");
    config["layer_types"] = {"full_attention"};
    EXPECT_EQ(parse_model_config(config.dump()).error().message,
              "layer_types: expected one for each of 2 layers, found array");
    // Qwen writes a window that it does not use.
    EXPECT_EQ(refusal({{"sliding_window", 512}, {"use_sliding_window", false}}), "");
    EXPECT_EQ(refusal({{"sliding_window", 512}, {"use_sliding_window", true}}),
              "use_sliding_window is not supported for this architecture");
}

TEST(HfConfig, WrongValuesAreNamed) {
    EXPECT_EQ(refusal({{"architectures", {"GPT2LMHeadModel"}}}),
              "architecture 'GPT2LMHeadModel' is not one that can be read");
    EXPECT_EQ(refusal({{"architectures", json::array()}}),
              "architectures: expected the model's class, found array");
    EXPECT_EQ(refusal({{"hidden_size", nullptr}}),
              "hidden_size: expected an integer from 1 to 1048576, found nothing");
    EXPECT_EQ(refusal({{"hidden_size", 64.0}}),
              "hidden_size: expected an integer from 1 to 1048576, found 64.0");
    EXPECT_EQ(refusal({{"num_hidden_layers", -1}}),
              "num_hidden_layers: expected an integer from 1 to 512, found -1");
    EXPECT_EQ(refusal({{"vocab_size", "100"}}),
              "vocab_size: expected an integer from 1 to 1048576, found \"100\"");
    EXPECT_EQ(refusal({{"num_key_value_heads", 3}}),
              "num_attention_heads 4 is no multiple of num_key_value_heads 3");
    EXPECT_EQ(refusal({{"num_attention_heads", 5}}),
              "head_dim is absent, and hidden_size 64 does not give one for 5 heads");
    EXPECT_EQ(refusal({{"head_dim", 15}}), "head_dim: expected an even number, found 15");
    EXPECT_EQ(refusal({{"hidden_act", "gelu"}}),
              "hidden_act 'gelu' is not one that can be computed");
    EXPECT_EQ(refusal({{"rms_norm_eps", 0}}),
              "rms_norm_eps: expected a number from 1e-12 to 1.0, found 0");
    EXPECT_EQ(refusal({{"tie_word_embeddings", 1}}),
              "tie_word_embeddings: expected true or false, found 1");
    EXPECT_EQ(refusal({{"eos_token_id", {1, 100}}}),
              "eos_token_id: expected integers from 0 to 99, at most 4096, found array");
    EXPECT_EQ(refusal({{"quantization_config", "bitnet"}}),
              "quantization_config: expected an object, found \"bitnet\"");
}

TEST(HfConfig, TheFileIsStrictJson) {
    const auto why = [](const std::string& text) {
        return parse_model_config(text).error().message;
    };
    EXPECT_EQ(why(""), "it is not a JSON object");
    EXPECT_EQ(why("[]"), "it is not a JSON object");
    EXPECT_EQ(why("{\"a\":1"), "it is not a JSON object");
    EXPECT_EQ(why("{\"a\":1} {"), "it is not a JSON object");
    EXPECT_EQ(why(std::string("{}\0", 3)), "it holds a NUL");
    EXPECT_EQ(why(R"({"a":1,"a":2})"), "it repeats the key 'a'");
    EXPECT_EQ(why(R"({"a":{"b":[{"c":1,"c":2}]}})"), "it repeats the key 'c'");
    EXPECT_EQ(why(R"({"a":)" + std::string(100'000, '[')), "it is nested deeper than 32");
    EXPECT_EQ(why(std::string(kConfigBytesMax + 1, ' ')),
              "it has 1048577 bytes; at most 1048576 are read");
}

TEST(HfQuantization, Variants) {
    const auto parse = [](const json& fields) { return parse_quantization(Fields(fields)); };
    const auto plain = parse({{"quant_method", "bitnet"}});
    ASSERT_TRUE(plain.ok());
    EXPECT_EQ(plain->linear_class, LinearClass::kBitLinear);
    EXPECT_EQ(plain->mode, QuantizationMode::kOffline);
    EXPECT_FALSE(plain->use_rms_norm);
    EXPECT_EQ(plain->rms_norm_eps, 1e-6);
    EXPECT_TRUE(plain->converts("model.layers.0.mlp.up_proj"));
    EXPECT_FALSE(plain->converts("lm_head"));
    const auto named = parse({{"quant_method", "bitnet"},
                              {"linear_class", "autobitlinear"},
                              {"modules_to_not_convert", {"up_proj", "layers.1."}}});
    EXPECT_FALSE(named->converts("model.layers.0.mlp.up_proj"));
    EXPECT_FALSE(named->converts("model.layers.1.mlp.down_proj"));
    EXPECT_TRUE(named->converts("lm_head"));
    EXPECT_EQ(parse({{"quant_method", "gptq"}}).error().message,
              "quantization_config.quant_method is 'gptq'; only 'bitnet' can be read");
    EXPECT_EQ(parse({{"quant_method", "bitnet"}, {"linear_class", "x"}}).error().message,
              "quantization_config.linear_class is 'x'; expected 'bitlinear' or 'autobitlinear'");
    EXPECT_EQ(parse({{"quant_method", "bitnet"}, {"quantization_mode", "x"}}).error().message,
              "quantization_config.quantization_mode is 'x'; expected 'offline' or 'online'");
    EXPECT_EQ(parse({{"quant_method", "bitnet"}, {"modules_to_not_convert", {""}}}).error().message,
              "quantization_config.modules_to_not_convert holds an empty name");
}

TEST(HfQuantization, DirectionOfTheScale) {
    EXPECT_EQ(weight_magnitude(LinearClass::kBitLinear, 4.0f).value(), 0.25f);
    EXPECT_EQ(weight_magnitude(LinearClass::kAutoBitLinear, 4.0f).value(), 4.0f);
    for (const float bad : {0.0f, -1.0f, 1.0f / 0.0f, 0.0f / 0.0f}) {
        EXPECT_FALSE(weight_magnitude(LinearClass::kBitLinear, bad).ok()) << bad;
        EXPECT_FALSE(weight_magnitude(LinearClass::kAutoBitLinear, bad).ok()) << bad;
    }
    EXPECT_FALSE(weight_magnitude(LinearClass::kBitLinear, 1e-45f).ok());  // 1 / it is infinite
}

TEST(HfSideFiles, GenerationConfig) {
    const auto config = parse_generation_config(
        R"({"bos_token_id":3,"eos_token_id":[4,7],"do_sample":true,"temperature":0.7,"top_p":0.9,
            "top_k":40,"max_new_tokens":256})",
        8);
    ASSERT_TRUE(config.ok()) << config.error().message;
    EXPECT_EQ(config->bos_id, 3u);
    EXPECT_EQ(config->eos_ids, (std::vector<uint32_t>{4, 7}));
    EXPECT_EQ(config->do_sample, true);
    EXPECT_EQ(config->temperature, 0.7);
    EXPECT_EQ(config->top_p, 0.9);
    EXPECT_EQ(config->top_k, 40u);
    EXPECT_FALSE(config->repetition_penalty.has_value());
    EXPECT_EQ(parse_generation_config(R"({"eos_token_id":4})", 8)->eos_ids,
              std::vector<uint32_t>{4});
    EXPECT_EQ(parse_generation_config(R"({"eos_token_id":8})", 8).error().message,
              "eos_token_id: expected integers from 0 to 7, at most 4096, found 8");
}

TEST(HfSideFiles, TokenizerConfig) {
    const auto config = parse_tokenizer_config(
        R"({"tokenizer_class":"PreTrainedTokenizerFast","bos_token":"<s>","add_bos_token":false,
            "eos_token":{"content":"</s>","lstrip":false},"pad_token":null,"chat_template":"{{x}}",
            "model_max_length":1000000000000000019884624838656})");
    ASSERT_TRUE(config.ok()) << config.error().message;
    EXPECT_EQ(config->bos_token, "<s>");
    EXPECT_EQ(config->eos_token, "</s>");
    EXPECT_FALSE(config->pad_token.has_value());
    EXPECT_EQ(config->add_bos_token, false);
    EXPECT_FALSE(config->add_eos_token.has_value());
    EXPECT_EQ(config->chat_template, "{{x}}");
    const auto several = parse_tokenizer_config(
        R"({"chat_template":[{"name":"tool_use","template":"t"},{"name":"default","template":"d"}]})");
    EXPECT_EQ(several->chat_template, "d");
    EXPECT_EQ(parse_tokenizer_config(R"({"bos_token":{"content":1}})").error().message,
              "bos_token.content: expected a text of at most 4096 bytes, found 1");
    EXPECT_EQ(parse_tokenizer_config(R"({"chat_template":["x"]})").error().message,
              "chat_template: expected a text or a list of templates, found array");
}

TEST(HfSideFiles, Pooling) {
    EXPECT_EQ(parse_pooling(R"({"pooling_mode_mean_tokens":false,"pooling_mode_lasttoken":true})")
                  .value(),
              Pooling::kLast);
    EXPECT_EQ(parse_pooling(R"({"pooling_mode_mean_tokens":true})").value(), Pooling::kMean);
    EXPECT_FALSE(parse_pooling("{}").ok());
    EXPECT_FALSE(parse_pooling(R"({"pooling_mode_max_tokens":true})").ok());
    EXPECT_FALSE(
        parse_pooling(R"({"pooling_mode_mean_tokens":true,"pooling_mode_max_tokens":true})").ok());
}

TEST(ShardIndex, FilesOfTensors) {
    const auto index = parse_shard_index(
        R"({"metadata":{"total_size":8},"weight_map":{"a":"model-00002-of-00002.safetensors",
            "b":"model-00001-of-00002.safetensors","c":"model-00002-of-00002.safetensors"}})");
    ASSERT_TRUE(index.ok()) << index.error().message;
    EXPECT_EQ(index->files, (std::vector<std::string>{"model-00001-of-00002.safetensors",
                                                      "model-00002-of-00002.safetensors"}));
    EXPECT_EQ(index->file_of.at("a"), 1u);
    EXPECT_EQ(index->file_of.at("b"), 0u);
}

TEST(ShardIndex, FilesStayInTheirDirectory) {
    for (const char* name :
         {"../x.safetensors", "/x.safetensors", "a/x.safetensors", "x.bin", "", ".safetensors",
          ".x.safetensors", "a\\\\x.safetensors", "x\\u0000.safetensors", "x\\n.safetensors"}) {
        const auto index =
            parse_shard_index("{\"weight_map\":{\"a\":\"" + std::string(name) + "\"}}");
        ASSERT_FALSE(index.ok()) << name;
        EXPECT_EQ(
            index.error().message,
            "weight_map gives tensor 'a' something else than the plain name of a .safetensors "
            "file");
    }
    EXPECT_FALSE(parse_shard_index(R"({"weight_map":{"a":1}})").ok());
    EXPECT_EQ(parse_shard_index("{}").error().message,
              "weight_map: expected an object, found nothing");
    EXPECT_EQ(parse_shard_index(R"({"weight_map":{}})").error().message, "weight_map is empty");
    EXPECT_EQ(parse_shard_index(R"({"weight_map":{"a":"x.safetensors","a":"y.safetensors"}})")
                  .error()
                  .message,
              "it repeats the key 'a'");
}

File file_with(const std::vector<std::string>& names) {
    File file;
    for (const std::string& name : names) {
        file.tensor_indices.emplace(name, file.tensors.size());
        file.tensors.push_back({name, DType::kU8, {0}, 0, 0});
    }
    return file;
}

TEST(Checkpoint, JoinsItsShards) {
    const auto index =
        parse_shard_index(R"({"weight_map":{"a":"1.safetensors","b":"2.safetensors"}})");
    std::vector<File> files;
    files.push_back(file_with({"a", "extra"}));
    files.push_back(file_with({"b", "a"}));
    const auto checkpoint = Checkpoint::of_shards(*index, std::move(files));
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message;
    EXPECT_EQ(checkpoint->tensors().size(), 2u);
    EXPECT_EQ(checkpoint->tensors().at("b").file, 1u);
    EXPECT_EQ(checkpoint->tensors().at("b").tensor->name, "b");
    EXPECT_EQ(checkpoint->unmapped(),
              (std::vector<std::string>{"1.safetensors: extra", "2.safetensors: a"}));
    files.clear();
    files.push_back(file_with({"a"}));
    files.push_back(file_with({"a"}));
    EXPECT_EQ(Checkpoint::of_shards(*index, std::move(files)).error().message,
              "the index says that tensor 'b' is in '2.safetensors', but it is not");
}

TEST(Checkpoint, OfOneFileSurvivesAMove) {
    Checkpoint first = Checkpoint::of_one(file_with({"a"}));
    const Checkpoint second = std::move(first);
    EXPECT_EQ(second.tensors().at("a").tensor, &second.files()[0].tensors[0]);
}

std::string gguf_name(std::string_view hf, Family family = Family::kLlama) {
    const auto found = find_gguf_name(hf, family);
    if (!found) return "unknown";
    const char* part = found->part == Part::kWeightScale ? " scale"
                       : found->part == Part::kIgnored   ? "ignored"
                                                         : "";
    return found->gguf_name + part + (found->rows_permuted ? " permuted" : "");
}

TEST(TensorNames, OfEachFamily) {
    EXPECT_EQ(gguf_name("model.embed_tokens.weight"), "token_embd.weight");
    EXPECT_EQ(gguf_name("model.norm.weight"), "output_norm.weight");
    EXPECT_EQ(gguf_name("lm_head.weight"), "output.weight");
    EXPECT_EQ(gguf_name("model.layers.10.self_attn.q_proj.weight"),
              "blk.10.attn_q.weight permuted");
    EXPECT_EQ(gguf_name("model.layers.0.self_attn.k_proj.bias"), "blk.0.attn_k.bias permuted");
    EXPECT_EQ(gguf_name("model.layers.0.self_attn.q_proj.weight", Family::kQwen2),
              "blk.0.attn_q.weight");
    EXPECT_EQ(gguf_name("model.layers.0.self_attn.v_proj.weight"), "blk.0.attn_v.weight");
    EXPECT_EQ(gguf_name("model.layers.0.self_attn.o_proj.weight_scale"),
              "blk.0.attn_output.weight scale");
    EXPECT_EQ(gguf_name("model.layers.0.mlp.down_proj.weight"), "blk.0.ffn_down.weight");
    EXPECT_EQ(gguf_name("model.layers.0.mlp.gate_proj.norm.weight", Family::kQwen3),
              "blk.0.ffn_gate_norm_in.weight");
    EXPECT_EQ(gguf_name("model.layers.0.self_attn.q_proj.rms_norm.weight"),
              "blk.0.attn_q_norm_in.weight");
    EXPECT_EQ(gguf_name("model.layers.0.self_attn.q_norm.weight", Family::kQwen3),
              "blk.0.attn_q_norm.weight");
    EXPECT_EQ(gguf_name("model.layers.0.self_attn.attn_sub_norm.weight", Family::kBitNet),
              "blk.0.attn_sub_norm.weight");
    EXPECT_EQ(gguf_name("model.layers.0.self_attn.inner_attn_ln.weight", Family::kBitnet1),
              "blk.0.attn_sub_norm.weight");
    EXPECT_EQ(gguf_name("model.layers.0.mlp.ffn_layernorm.weight", Family::kBitnet1),
              "blk.0.ffn_sub_norm.weight");
    EXPECT_EQ(gguf_name("model.layers.0.post_attention_layernorm.weight"), "blk.0.ffn_norm.weight");
    EXPECT_EQ(gguf_name("model.layers.0.post_attention_layernorm.weight", Family::kGemma3),
              "blk.0.post_attention_norm.weight");
    EXPECT_EQ(gguf_name("model.layers.0.pre_feedforward_layernorm.weight", Family::kGemma3),
              "blk.0.ffn_norm.weight");
    EXPECT_EQ(gguf_name("model.layers.0.self_attn.rotary_emb.inv_freq"), "ignored");
}

TEST(TensorNames, ThereAndBack) {
    constexpr std::string_view kNames[] = {
        "model.embed_tokens.weight",
        "model.norm.weight",
        "lm_head.weight",
        "model.layers.7.input_layernorm.weight",
        "model.layers.7.post_attention_layernorm.weight",
        "model.layers.7.self_attn.q_proj.weight",
        "model.layers.7.self_attn.k_proj.bias",
        "model.layers.7.self_attn.q_norm.weight",
        "model.layers.7.mlp.down_proj.norm.weight",
    };
    for (const Family family : {Family::kLlama, Family::kBitNet, Family::kGemma3}) {
        for (const std::string_view name : kNames)
            EXPECT_EQ(hf_name_of(find_gguf_name(name, family)->gguf_name, family), name);
    }
    EXPECT_EQ(hf_name_of("blk.0.attn_sub_norm.weight", Family::kBitNet),
              "model.layers.0.self_attn.attn_sub_norm.weight");
    EXPECT_EQ(hf_name_of("blk.0.attn_sub_norm.weight", Family::kBitnet1),
              "model.layers.0.self_attn.inner_attn_ln.weight");
    EXPECT_EQ(hf_name_of("blk.0.ffn_norm.weight", Family::kGemma3),
              "model.layers.0.pre_feedforward_layernorm.weight");
    for (const char* const name : {"", "rope_freqs.weight", "blk.0.other.weight", "blk.x.attn_q"})
        EXPECT_EQ(hf_name_of(name, Family::kLlama), "") << name;
}

TEST(TensorNames, OfModelsWithoutTheirHead) {
    EXPECT_EQ(find_gguf_name("layers.3.mlp.up_proj.weight", Family::kQwen3)->gguf_name,
              "blk.3.ffn_up.weight");
    EXPECT_EQ(find_gguf_name("embed_tokens.weight", Family::kQwen3)->gguf_name,
              "token_embd.weight");
    EXPECT_FALSE(find_gguf_name("model.model.norm.weight", Family::kQwen3).has_value());
}

TEST(TensorNames, OthersAreUnknown) {
    for (const char* name :
         {"", "model", "model.layers.", "model.layers.0", "model.layers.0.", "model.layers.x.mlp",
          "model.layers.00.input_layernorm.weight", "model.layers.512.input_layernorm.weight",
          "model.layers.-1.input_layernorm.weight", "model.layers.0.input_layernorm.bias",
          "model.layers.0.input_layernorm.weight2", "model.layers.0.self_attn.q_proj",
          "model.layers.0.self_attn.q_proj.lora", "model.layers.0.pre_feedforward_layernorm.weight",
          "lm_head.bias"}) {
        EXPECT_EQ(gguf_name(name), "unknown") << name;
    }
}

TEST(RowPermutation, IsItsDefinition) {
    for (const uint64_t head_dim : {2u, 6u, 64u}) {
        std::set<uint64_t> seen;
        for (uint64_t head = 0; head < 3; ++head) {
            for (uint64_t p = 0; p < head_dim / 2; ++p) {
                for (uint64_t b = 0; b < 2; ++b) {
                    const uint64_t gguf = head * head_dim + 2 * p + b;
                    const uint64_t hf = head * head_dim + b * head_dim / 2 + p;
                    EXPECT_EQ(hf_row(gguf, head_dim), hf);
                    seen.insert(hf);
                }
            }
        }
        EXPECT_EQ(seen.size(), 3 * head_dim);
    }
}

}  // namespace
}  // namespace bitnetd::safetensors
