// gemma3 (text), and the BitNet embedding model made of it: architectures.md sections 6 and 7. What
// a layer adds to the residual stream is normed first; five layers of six see a window only.
#include "worker/model/family.h"
#include "worker/model/layer_pass.h"

namespace bitnetd::worker::families {
namespace {

using enum TensorSize;
using shm::TensorPart;

constexpr std::string_view kNames[] = {"gemma3"};

constexpr TensorSpec kTensors[] = {
    norm_spec("attn_norm", TensorPart::kAttnNorm, kHidden),
    linear_spec("attn_q", TensorPart::kAttnQ, kQuery, kHidden, kInputNorm),
    linear_spec("attn_k", TensorPart::kAttnK, kKv, kHidden, kInputNorm),
    linear_spec("attn_v", TensorPart::kAttnV, kKv, kHidden, kInputNorm),
    norm_spec("attn_q_norm", TensorPart::kAttnQNorm, kHead),
    norm_spec("attn_k_norm", TensorPart::kAttnKNorm, kHead),
    linear_spec("attn_output", TensorPart::kAttnOutput, kHidden, kQuery, kInputNorm),
    norm_spec("post_attention_norm", TensorPart::kPostAttnNorm, kHidden),
    norm_spec("ffn_norm", TensorPart::kFfnNorm, kHidden),
    linear_spec("ffn_gate", TensorPart::kFfnGate, kFfn, kHidden, kInputNorm),
    linear_spec("ffn_up", TensorPart::kFfnUp, kFfn, kHidden, kInputNorm),
    linear_spec("ffn_down", TensorPart::kFfnDown, kHidden, kFfn, kInputNorm),
    norm_spec("post_ffw_norm", TensorPart::kPostFfnNorm, kHidden),
};

void layer(LayerPass& p, const LayerWeights& w) noexcept {
    p.norm(p.x, w.attn_norm, p.h);
    p.multiply(p.h, {{&w.q, &p.q}, {&w.k, &p.k}, {&w.v, &p.v}});
    p.norm_heads(p.q, w.q_norm);
    p.norm_heads(p.k, w.k_norm);
    p.rotate_and_store(w);
    p.attend(w);
    p.multiply(p.a, {{&w.attn_output, &p.h}});
    p.norm(p.h, w.post_attn_norm, p.h);
    p.add(p.h);

    p.norm(p.x, w.ffn_norm, p.h);
    p.gate(p.h, w.gate, w.up);
    p.multiply(p.g, {{&w.down, &p.h}});
    p.norm(p.h, w.post_ffn_norm, p.h);
    p.add(p.h);
}

}  // namespace

constexpr Family kGemma3 = {
    .names = kNames,
    .layer_tensors = kTensors,
    .rope = RopeStyle::kNeox,
    .activation = shm::Activation::kGelu,
    .is_ternary = false,
    .scales_embedding = true,
    .window_pattern = 6,
    .layer = layer,
};

}  // namespace bitnetd::worker::families
