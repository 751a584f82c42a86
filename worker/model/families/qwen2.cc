// qwen2: architectures.md section 5. As llama, but for the rotation and the biases of q, k and v.
#include "worker/model/family.h"
#include "worker/model/layer_pass.h"

namespace bitnetd::worker::families {
namespace {

using enum TensorSize;
using shm::TensorPart;

constexpr std::string_view kNames[] = {"qwen2"};

constexpr TensorSpec kTensors[] = {
    norm_spec("attn_norm", TensorPart::kAttnNorm, kHidden),
    linear_spec("attn_q", TensorPart::kAttnQ, kQuery, kHidden, kNeedsBias),
    linear_spec("attn_k", TensorPart::kAttnK, kKv, kHidden, kNeedsBias),
    linear_spec("attn_v", TensorPart::kAttnV, kKv, kHidden, kNeedsBias),
    linear_spec("attn_output", TensorPart::kAttnOutput, kHidden, kQuery),
    norm_spec("ffn_norm", TensorPart::kFfnNorm, kHidden),
    linear_spec("ffn_gate", TensorPart::kFfnGate, kFfn, kHidden),
    linear_spec("ffn_up", TensorPart::kFfnUp, kFfn, kHidden),
    linear_spec("ffn_down", TensorPart::kFfnDown, kHidden, kFfn),
};

void layer(LayerPass& p, const LayerWeights& w) noexcept {
    p.norm(p.x, w.attn_norm, p.h);
    p.multiply(p.h, {{&w.q, &p.q}, {&w.k, &p.k}, {&w.v, &p.v}});
    p.rotate_and_store(w);
    p.attend(w);
    p.multiply_and_add(p.a, w.attn_output);

    p.norm(p.x, w.ffn_norm, p.h);
    p.gate(p.h, w.gate, w.up);
    p.multiply_and_add(p.g, w.down);
}

}  // namespace

constexpr Family kQwen2 = {
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
