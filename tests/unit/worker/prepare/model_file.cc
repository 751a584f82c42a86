#include "tests/unit/worker/prepare/model_file.h"

#include <cstring>
#include <utility>

#include "common/text/byte_alphabet.h"

namespace bitnetd::worker::test {
namespace {

std::vector<std::byte> bytes_of(const std::vector<float>& values) {
    std::vector<std::byte> out(values.size() * sizeof(float));
    std::memcpy(out.data(), values.data(), out.size());
    return out;
}

// Code points below 2048.
std::string utf8(uint32_t code_point) {
    if (code_point < 0x80) return {static_cast<char>(code_point)};
    return {static_cast<char>(0xC0 | code_point >> 6), static_cast<char>(0x80 | (code_point & 63))};
}

}  // namespace

FileTensor i2_s_tensor(uint64_t columns, uint64_t rows, const std::vector<int8_t>& digits,
                       float scale) {
    FileTensor tensor{{columns, rows}, quant::Type::kI2_S, {}};
    tensor.data.resize(digits.size() / 4 + 32);
    for (size_t e = 0; e < digits.size(); ++e) {
        const auto code = static_cast<unsigned>(digits[e] + 1);
        const size_t byte = 32 * (e / 128) + e % 128 % 32;
        tensor.data[byte] |= static_cast<std::byte>(code << (6 - 2 * (e % 128 / 32)));
    }
    std::memcpy(tensor.data.data() + digits.size() / 4, &scale, sizeof scale);
    return tensor;
}

FileTensor f32_tensor(const std::vector<uint64_t>& dims, const std::vector<float>& values) {
    return {dims, quant::Type::kF32, bytes_of(values)};
}

ModelFile::ModelFile(uint64_t seed) : random_(seed) {
    integers = {{"context_length", kContext},      {"embedding_length", kHidden},
                {"block_count", kLayers},          {"feed_forward_length", kFfn},
                {"attention.head_count", kHeads},  {"attention.head_count_kv", kKvHeads},
                {"rope.dimension_count", kHeadDim}};
    numbers = {{"attention.layer_norm_rms_epsilon", 1e-5f}, {"rope.freq_base", 10'000.0f}};
    texts = {{"general.name", "tiny"},
             {"tokenizer.ggml.model", "gpt2"},
             {"tokenizer.ggml.pre", "gpt-2"}};
    for (uint32_t byte = 0; byte < 256; ++byte) {
        tokens.push_back(utf8(text::byte_to_alphabet(static_cast<uint8_t>(byte))));
    }
    tokens.emplace_back("<|begin_of_text|>");
    tokens.emplace_back("<|eot_id|>");
    std::vector<float> embedding(size_t{kVocab} * kHidden);
    for (float& value : embedding)
        value = static_cast<float>(random_() % 1000) / 1000;
    tensors["token_embd.weight"] = f32_tensor({kHidden, kVocab}, embedding);
    add_vector("output_norm.weight", kHidden);
    for (uint32_t layer = 0; layer < kLayers; ++layer)
        add_layer("blk." + std::to_string(layer) + ".");
}

void ModelFile::add_ternary(const std::string& name, uint64_t columns, uint64_t rows) {
    std::vector<int8_t> values(static_cast<size_t>(columns * rows));
    for (int8_t& value : values)
        value = static_cast<int8_t>(static_cast<int>(random_() % 3) - 1);
    tensors[name] = i2_s_tensor(columns, rows, values, scale);
    digits[name] = std::move(values);
}

void ModelFile::add_vector(const std::string& name, uint64_t size) {
    std::vector<float> values(static_cast<size_t>(size));
    for (float& value : values)
        value = 0.5f + static_cast<float>(random_() % 1000) / 1000;
    tensors[name] = f32_tensor({size}, values);
}

void ModelFile::add_layer(const std::string& prefix) {
    constexpr uint64_t kQuery = kHeads * kHeadDim;
    constexpr uint64_t kKv = kKvHeads * kHeadDim;
    add_vector(prefix + "attn_norm.weight", kHidden);
    add_ternary(prefix + "attn_q.weight", kHidden, kQuery);
    add_ternary(prefix + "attn_k.weight", kHidden, kKv);
    add_ternary(prefix + "attn_v.weight", kHidden, kKv);
    add_vector(prefix + "attn_sub_norm.weight", kQuery);
    add_ternary(prefix + "attn_output.weight", kQuery, kHidden);
    add_vector(prefix + "ffn_norm.weight", kHidden);
    add_ternary(prefix + "ffn_gate.weight", kHidden, kFfn);
    add_ternary(prefix + "ffn_up.weight", kHidden, kFfn);
    add_vector(prefix + "ffn_sub_norm.weight", kFfn);
    add_ternary(prefix + "ffn_down.weight", kFfn, kHidden);
}

std::vector<std::byte> ModelFile::bytes() const {
    gguf::Writer writer;
    writer.add_text("general.architecture", architecture);
    for (const auto& [key, value] : integers)
        writer.add_u32(architecture + "." + key, value);
    for (const auto& [key, value] : numbers)
        writer.add_f32(architecture + "." + key, value);
    for (const auto& [key, value] : texts)
        writer.add_text(key, value);
    if (!tokens.empty()) {
        std::vector<int32_t> types(tokens.size(), 1);
        for (size_t id = 256; id < types.size(); ++id)
            types[id] = 3;  // control
        writer.add_texts("tokenizer.ggml.tokens", tokens);
        writer.add_i32s("tokenizer.ggml.token_type", types);
        writer.add_texts("tokenizer.ggml.merges", std::vector<std::string>{"a b"});
        writer.add_u32("tokenizer.ggml.bos_token_id", 256);
        writer.add_u32("tokenizer.ggml.eos_token_id", 257);
    }
    std::vector<std::vector<std::byte>> data;
    for (const auto& [name, tensor] : tensors) {
        writer.add_tensor(name, tensor.dims, tensor.type);
        data.push_back(tensor.data);
    }
    return writer.file(data);
}

}  // namespace bitnetd::worker::test
