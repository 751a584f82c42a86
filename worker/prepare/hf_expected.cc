#include "worker/prepare/hf_expected.h"

#include <string_view>

namespace bitnetd::worker {
namespace {

using safetensors::Family;
using safetensors::ModelConfig;

class Layer {
  public:
    Layer(const ModelConfig& config, uint64_t index, std::vector<ExpectedTensor>& out)
        : config_(config), prefix_("blk." + std::to_string(index) + "."), out_(out) {}

    void add() {
        const Family family = config_.family;
        const uint64_t hidden = config_.hidden_size;
        const uint64_t queries = config_.heads * config_.head_dim;
        const uint64_t keys = config_.kv_heads * config_.head_dim;
        const bool bitnet = family == Family::kBitNet || family == Family::kBitnet1;
        const bool bias = config_.attention_bias;
        const bool qkv_bias = bias || family == Family::kQwen2;

        norm("attn_norm", hidden);
        projection("attn_q", {queries, hidden}, qkv_bias);
        projection("attn_k", {keys, hidden}, qkv_bias);
        projection("attn_v", {keys, hidden}, qkv_bias);
        if (family == Family::kQwen3 || family == Family::kGemma3) {
            norm("attn_q_norm", config_.head_dim);
            norm("attn_k_norm", config_.head_dim);
        }
        if (bitnet) norm("attn_sub_norm", queries);
        projection("attn_output", {hidden, queries}, bias);
        if (family == Family::kGemma3) norm("post_attention_norm", hidden);
        norm("ffn_norm", hidden);
        projection("ffn_gate", {config_.intermediate_size, hidden}, config_.mlp_bias);
        projection("ffn_up", {config_.intermediate_size, hidden}, config_.mlp_bias);
        if (bitnet) norm("ffn_sub_norm", config_.intermediate_size);
        projection("ffn_down", {hidden, config_.intermediate_size}, config_.mlp_bias);
        if (family == Family::kGemma3) norm("post_ffw_norm", hidden);
    }

  private:
    void push(std::string_view name, std::string_view ending, quant::Shape shape, HfRole role,
              bool required = true) {
        out_.push_back({prefix_ + std::string(name) + std::string(ending), shape, role, required});
    }
    void norm(std::string_view name, uint64_t size) {
        push(name, ".weight", {1, size}, HfRole::kNorm);
    }
    void projection(std::string_view name, quant::Shape shape, bool bias) {
        const bool own_norm = config_.quantization && config_.quantization->use_rms_norm;
        push(name, "_norm_in.weight", {1, shape.columns}, HfRole::kInputNorm, own_norm);
        push(name, ".weight", shape, HfRole::kProjection);
        if (bias) push(name, ".bias", {1, shape.rows}, HfRole::kBias);
    }

    const ModelConfig& config_;
    std::string prefix_;
    std::vector<ExpectedTensor>& out_;
};

}  // namespace

std::vector<ExpectedTensor> expected_tensors(const ModelConfig& config) {
    const quant::Shape table{config.vocab_size, config.hidden_size};
    std::vector<ExpectedTensor> out;
    out.push_back({"token_embd.weight", table, HfRole::kTable, true});
    out.push_back({"output_norm.weight", {1, config.hidden_size}, HfRole::kNorm, true});
    if (config.has_head) {
        out.push_back({"output.weight", table, HfRole::kTable, !config.tie_word_embeddings});
    }
    for (uint64_t layer = 0; layer < config.layers; ++layer)
        Layer(config, layer, out).add();
    return out;
}

}  // namespace bitnetd::worker
