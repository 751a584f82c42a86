#include "tests/unit/worker/prepare/hf_checkpoint.h"

#include <cstring>
#include <stdexcept>

#include "common/quant/float_rows.h"
#include "common/quant/half.h"

namespace bitnetd::worker::test {
namespace {

class OwnedSource final : public Source {
  public:
    explicit OwnedSource(const std::string& content) : content_(content) {}
    uint64_t bytes() const override { return content_.size(); }
    Result<void> read_at(uint64_t offset, std::span<std::byte> out) override {
        return MemorySource(std::as_bytes(std::span(content_))).read_at(offset, out);
    }

  private:
    std::string content_;
};

quant::Type type_of(const std::string& dtype) {
    if (dtype == "BF16") return quant::Type::kBF16;
    return dtype == "F16" ? quant::Type::kF16 : quant::Type::kF32;
}

}  // namespace

HfStored hf_floats(const std::string& dtype, const std::vector<uint64_t>& shape,
                   const std::vector<float>& values) {
    HfStored out{dtype, shape, {}};
    for (const float value : values) {
        const uint16_t half =
            dtype == "BF16" ? quant::float_to_bf16(value) : quant::float_to_half(value);
        const auto* const from = dtype == "F32" ? reinterpret_cast<const std::byte*>(&value)
                                                : reinterpret_cast<const std::byte*>(&half);
        out.data.insert(out.data.end(), from, from + (dtype == "F32" ? 4 : 2));
    }
    return out;
}

HfStored hf_bytes(const std::vector<uint64_t>& shape, const std::vector<uint8_t>& values) {
    HfStored out{"U8", shape, {}};
    for (const uint8_t value : values)
        out.data.push_back(std::byte{value});
    return out;
}

std::string safetensors_file(const std::map<std::string, HfStored>& tensors) {
    nlohmann::json header = nlohmann::json::object();
    std::string data;
    for (const auto& [name, tensor] : tensors) {
        const size_t begin = data.size();
        data.append(reinterpret_cast<const char*>(tensor.data.data()), tensor.data.size());
        header[name] = {{"dtype", tensor.dtype},
                        {"shape", tensor.shape},
                        {"data_offsets", {begin, data.size()}}};
    }
    const std::string text = header.dump();
    const uint64_t length = text.size();
    std::string out(sizeof length, '\0');
    std::memcpy(out.data(), &length, sizeof length);
    return out + text + data;
}

NamedSource named(const std::string& name, const std::string& content) {
    return {name, std::make_unique<OwnedSource>(content)};
}

HfCheckpoint::HfCheckpoint(const std::string& architecture, uint64_t seed) : state_(seed) {
    config = {{"architectures", {architecture}},
              {"hidden_size", kHidden},
              {"intermediate_size", kFfn},
              {"num_hidden_layers", 1},
              {"num_attention_heads", kHeads},
              {"num_key_value_heads", kKvHeads},
              {"head_dim", kHeadDim},
              {"max_position_embeddings", 64},
              {"vocab_size", kVocab},
              {"tie_word_embeddings", true}};
    // The 256 bytes as tokens, one merge, one special token.
    nlohmann::json vocabulary = nlohmann::json::object();
    for (int i = 0; i < 26; ++i)
        vocabulary[std::string(1, static_cast<char>('a' + i))] = i;
    vocabulary["ab"] = 26;
    tokenizer = {
        {"added_tokens", {{{"id", 299}, {"content", "<|end|>"}, {"special", true}}}},
        {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
        {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", {"a b"}}}},
    };
    add("model.embed_tokens.weight", {kVocab, kHidden});
    add("model.norm.weight", {kHidden});
    add_layer(architecture);
}

void HfCheckpoint::add_layer(const std::string& architecture) {
    const std::string layer = "model.layers.0.";
    const uint64_t queries = kHeads * kHeadDim;
    const uint64_t keys = kKvHeads * kHeadDim;
    add(layer + "input_layernorm.weight", {kHidden});
    add(layer + "self_attn.q_proj.weight", {queries, kHidden});
    add(layer + "self_attn.k_proj.weight", {keys, kHidden});
    add(layer + "self_attn.v_proj.weight", {keys, kHidden});
    add(layer + "self_attn.o_proj.weight", {kHidden, queries});
    add(layer + "post_attention_layernorm.weight", {kHidden});
    add(layer + "mlp.gate_proj.weight", {kFfn, kHidden});
    add(layer + "mlp.up_proj.weight", {kFfn, kHidden});
    add(layer + "mlp.down_proj.weight", {kHidden, kFfn});
    if (architecture == "BitNetForCausalLM") {
        add(layer + "self_attn.attn_sub_norm.weight", {queries});
        add(layer + "mlp.ffn_sub_norm.weight", {kFfn});
    }
    if (architecture == "BitnetForCausalLM") {
        add(layer + "self_attn.inner_attn_ln.weight", {queries});
        add(layer + "mlp.ffn_layernorm.weight", {kFfn});
    }
    if (architecture == "Gemma3ForCausalLM" || architecture == "Qwen3ForCausalLM") {
        add(layer + "self_attn.q_norm.weight", {kHeadDim});
        add(layer + "self_attn.k_norm.weight", {kHeadDim});
    }
    if (architecture == "Gemma3ForCausalLM") {
        add(layer + "pre_feedforward_layernorm.weight", {kHidden});
        add(layer + "post_feedforward_layernorm.weight", {kHidden});
    }
    if (architecture != "Qwen2ForCausalLM") return;
    add(layer + "self_attn.q_proj.bias", {queries});
    add(layer + "self_attn.k_proj.bias", {keys});
    add(layer + "self_attn.v_proj.bias", {keys});
}

void HfCheckpoint::add(const std::string& name, const std::vector<uint64_t>& shape) {
    uint64_t count = 1;
    for (const uint64_t dim : shape)
        count *= dim;
    std::vector<float> values(count);
    for (float& value : values) {
        state_ = state_ * 6364136223846793005ull + 1442695040888963407ull;
        value = static_cast<float>(static_cast<int>(state_ >> 33 & 127) - 64) / 8;
    }
    tensors[name] = hf_floats("F32", shape, values);
}

std::vector<NamedSource> HfCheckpoint::files() const {
    std::vector<NamedSource> out;
    out.push_back(named("model.safetensors", safetensors_file(tensors)));
    if (!config.is_null()) out.push_back(named("config.json", config.dump()));
    if (!tokenizer.is_null()) out.push_back(named("tokenizer.json", tokenizer.dump()));
    for (const auto& [name, text] : texts)
        out.push_back(named(name, text));
    return out;
}

std::string HfCheckpoint::error() const {
    const auto input = open();
    return input.ok() ? "" : input.error().message;
}

std::vector<float> HfCheckpoint::values(const std::string& name) const {
    const HfStored& stored = tensors.at(name);
    const quant::Type type = type_of(stored.dtype);
    std::vector<float> out(stored.data.size() / quant::info_of(type).block_bytes);
    quant::decode_floats(type, stored.data, out);
    return out;
}

const ModelTensor& tensor_of(const ModelInput& input, const std::string& name) {
    for (const ModelTensor& tensor : input.tensors()) {
        if (tensor.name == name) return tensor;
    }
    throw std::runtime_error("no tensor " + name);
}

std::vector<float> floats_of(ModelInput& input, const std::string& name) {
    const ModelTensor& tensor = tensor_of(input, name);
    std::vector<float> out(tensor.shape.rows * tensor.shape.columns);
    const auto read = input.read_floats(tensor, 0, tensor.shape.rows, out);
    if (!read.ok()) throw std::runtime_error(read.error().message);
    return out;
}

Ternary ternary_of(ModelInput& input, const std::string& name) {
    const ModelTensor& tensor = tensor_of(input, name);
    auto matrix = input.open_ternary(tensor);
    if (!matrix.ok()) throw std::runtime_error(matrix.error().message);
    Ternary out;
    out.digits.resize(tensor.shape.rows * tensor.shape.columns);
    const auto read = (*matrix)->read_rows(0, tensor.shape.rows, out.digits, {&out.scale, 1});
    if (!read.ok()) throw std::runtime_error(read.error().message);
    return out;
}

}  // namespace bitnetd::worker::test
