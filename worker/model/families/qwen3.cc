// qwen3, and the BitNet embedding model made of it: architectures.md sections 5 and 7. Every head
// of q and k is normed before it is rotated; the embedding model norms the input of every
// projection once more.
#include "worker/model/family.h"
#include "worker/model/layer_pass.h"

namespace bitnetd::worker::families {
namespace {

using enum TensorSize;
using shm::TensorPart;

constexpr std::string_view kNames[] = {"qwen3"};

constexpr TensorSpec kTensors[] = {
    norm_spec("attn_norm", TensorPart::kAttnNorm, kHidden),
    linear_spec("attn_q", TensorPart::kAttnQ, kQuery, kHidden, kInputNorm),
    linear_spec("attn_k", TensorPart::kAttnK, kKv, kHidden, kInputNorm),
    linear_spec("attn_v", TensorPart::kAttnV, kKv, kHidden, kInputNorm),
    norm_spec("attn_q_norm", TensorPart::kAttnQNorm, kHead),
    norm_spec("attn_k_norm", TensorPart::kAttnKNorm, kHead),
    linear_spec("attn_output", TensorPart::kAttnOutput, kHidden, kQuery, kInputNorm),
    norm_spec("ffn_norm", TensorPart::kFfnNorm, kHidden),
    linear_spec("ffn_gate", TensorPart::kFfnGate, kFfn, kHidden, kInputNorm),
    linear_spec("ffn_up", TensorPart::kFfnUp, kFfn, kHidden, kInputNorm),
    linear_spec("ffn_down", TensorPart::kFfnDown, kHidden, kFfn, kInputNorm),
};

void layer(LayerPass& p, const LayerWeights& w) noexcept {
    p.norm(p.x, w.attn_norm, p.h);
    p.multiply(p.h, {{&w.q, &p.q}, {&w.k, &p.k}, {&w.v, &p.v}});
    p.norm_heads(p.q, w.q_norm);
    p.norm_heads(p.k, w.k_norm);
    p.rotate_and_store(w);
    p.attend(w);
    p.multiply_and_add(p.a, w.attn_output);

    p.norm(p.x, w.ffn_norm, p.h);
    p.gate(p.h, w.gate, w.up);
    p.multiply_and_add(p.g, w.down);
}

}  // namespace

constexpr Family kQwen3 = {
    .names = kNames,
    .layer_tensors = kTensors,
    .rope = RopeStyle::kNeox,
    .activation = shm::Activation::kSilu,
    .is_ternary = false,
    .scales_embedding = false,
    .window_pattern = 0,
    .layer = layer,
};

}  // namespace bitnetd::worker::families
