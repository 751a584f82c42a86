// A weights segment as typed pointers. open_weights() checks once what the kernels rely on: every
// tensor that the family needs is there with the shape that the header predicts, aligned, and
// inside the segment. The loader made the segment and sealed it, so nothing can change afterwards;
// values (norm weights, scales) are the loader's to check. The segment outlives the view.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "common/base/result.h"
#include "shm/abi/weights_abi.h"
#include "worker/model/family.h"
#include "worker/model/linear.h"

namespace bitnetd::worker {

// Shapes as in weights_abi.h. Null: the family has no such tensor.
struct LayerWeights {
    uint32_t index = 0;
    bool windowed = false;
    const float* rope = nullptr;  // [context][rope_dims]: cosines, then sines

    const float* attn_norm = nullptr;
    Linear q, k, v;
    const float* q_norm = nullptr;
    const float* k_norm = nullptr;
    const float* attn_sub_norm = nullptr;
    Linear attn_output;
    const float* post_attn_norm = nullptr;
    const float* ffn_norm = nullptr;
    Linear gate, up;
    const float* ffn_sub_norm = nullptr;
    Linear down;
    const float* post_ffn_norm = nullptr;
};

// Null: the part is no linear layer.
const Linear* linear_of(const LayerWeights& w, shm::TensorPart part);

// Part of kOutput; null where the output matrix has none.
struct ScreenWeights {
    Linear codes;
    const float* errors = nullptr;  // [vocab][2]
};

struct WeightsView {
    shm::WeightsHeader header;
    const Family* family = nullptr;
    Linear embedding;  // one row per token
    Linear output;     // the embedding where the file has none of its own
    ScreenWeights screen;
    const float* output_norm = nullptr;  // [hidden]
    std::vector<LayerWeights> layers;
    bool has_input_norms = false;  // some linear layer has a norm of its own
    bool rounds_to_bf16 = false;   // some linear layer's inputs

    int32_t query_size() const { return static_cast<int32_t>(header.heads * header.head_dim); }
    int32_t kv_size() const { return static_cast<int32_t>(header.kv_heads * header.head_dim); }
    std::span<const uint32_t> end_ids() const { return {header.end_ids, header.end_id_count}; }
};

// How the inputs of block-quantised linear layers are multiplied: rounded to int8, which is fast,
// or as they are.
enum class BlockInputs : uint8_t { kInt8, kFloat };

// The same of bfloat16 layers: rounded to bfloat16, which is fast where the CPU multiplies that, or
// as they are.
enum class Bf16Inputs : uint8_t { kFloat, kBf16 };

Result<WeightsView> open_weights(std::span<const std::byte> segment,
                                 BlockInputs block_inputs = BlockInputs::kInt8,
                                 Bf16Inputs bf16_inputs = Bf16Inputs::kFloat);

// That the table can compute what the weights ask for.
Result<void> check_table(const WeightsView& weights, const kernels::KernelTable& table);

// Of a packed matrix, or of a vector with `rows` 1; nothing when it cannot be.
std::optional<uint64_t> packed_bytes(shm::Packing packing, uint32_t block_format, uint32_t rows,
                                     uint32_t columns);

}  // namespace bitnetd::worker
