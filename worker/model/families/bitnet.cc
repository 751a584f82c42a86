// bitnet-b1.58 (BitNet b1.58 2B-4T, also named bitnet-25) and bitnet (1bitLLM, 0.7B and 3B):
// architectures.md sections 2 and 3. Every projection is ternary; sub-norms stand before the two
// projections back into the residual stream. They differ in the activation.
#include "worker/model/family.h"
#include "worker/model/layer_pass.h"

namespace bitnetd::worker::families {
namespace {

using enum TensorSize;
using shm::TensorPart;

constexpr std::string_view kB158Names[] = {"bitnet-b1.58", "bitnet-25"};
constexpr std::string_view kNames[] = {"bitnet"};

// Biases are those that the models' own code adds; others are refused as unknown tensors.
constexpr TensorSpec kTensors[] = {
    norm_spec("attn_norm", TensorPart::kAttnNorm, kHidden),
    linear_spec("attn_q", TensorPart::kAttnQ, kQuery, kHidden, kBias | kScale),
    linear_spec("attn_k", TensorPart::kAttnK, kKv, kHidden, kBias | kScale),
    linear_spec("attn_v", TensorPart::kAttnV, kKv, kHidden, kBias | kScale),
    norm_spec("attn_sub_norm", TensorPart::kAttnSubNorm, kQuery),
    linear_spec("attn_output", TensorPart::kAttnOutput, kHidden, kQuery, kBias | kScale),
    norm_spec("ffn_norm", TensorPart::kFfnNorm, kHidden),
    linear_spec("ffn_gate", TensorPart::kFfnGate, kFfn, kHidden, kScale),
    linear_spec("ffn_up", TensorPart::kFfnUp, kFfn, kHidden, kScale),
    norm_spec("ffn_sub_norm", TensorPart::kFfnSubNorm, kFfn),
    linear_spec("ffn_down", TensorPart::kFfnDown, kHidden, kFfn, kScale),
};

void layer(LayerPass& p, const LayerWeights& w) noexcept {
    p.norm(p.x, w.attn_norm, p.h);
    p.multiply(p.h, {{&w.q, &p.q}, {&w.k, &p.k}, {&w.v, &p.v}});
    p.rotate_and_store(w);
    p.attend(w);
    p.norm(p.a, w.attn_sub_norm, p.a);
    p.multiply_and_add(p.a, w.attn_output);

    p.norm(p.x, w.ffn_norm, p.h);
    p.gate(p.h, w.gate, w.up);
    p.norm(p.g, w.ffn_sub_norm, p.g);
    p.multiply_and_add(p.g, w.down);
}

}  // namespace

constexpr Family kBitnetB158 = {
    .names = kB158Names,
    .layer_tensors = kTensors,
    .rope = RopeStyle::kNeox,
    .activation = shm::Activation::kRelu2,
    .is_ternary = true,
    .scales_embedding = false,
    .window_pattern = 0,
    .layer = layer,
};

constexpr Family kBitnet = {
    .names = kNames,
    .layer_tensors = kTensors,
    .rope = RopeStyle::kNeox,
    .activation = shm::Activation::kSilu,
    .is_ternary = true,
    .scales_embedding = false,
    .window_pattern = 0,
    .layer = layer,
};

}  // namespace bitnetd::worker::families
