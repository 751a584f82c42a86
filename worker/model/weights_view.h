// A weights segment as typed pointers. open_weights() checks once what the kernels rely on: every
// needed tensor is there with the shape that the header predicts, aligned, and inside the segment.
// The loader made the segment and sealed it, so nothing can change afterwards; values (norm
// weights, scales) are the loader's to check. The segment outlives the view.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/base/result.h"
#include "shm/abi/weights_abi.h"

namespace bitnetd::worker {

struct TernaryMatrix {
    const uint8_t* rows = nullptr;  // [outputs] packed rows of row_bytes (kernel_api.h)
    int64_t row_bytes = 0;
    int32_t outputs = 0;
    int32_t inputs = 0;
    float scale = 1;
    const float* bias = nullptr;  // [outputs], or null
};

// The embedding, or the output matrix: one row per token of the vocabulary.
struct TokenTable {
    const void* rows = nullptr;  // [vocab][hidden] of f16 or f32
    shm::Packing packing = shm::Packing::kF32;
};

struct LayerWeights {
    const float* attn_norm = nullptr;  // [hidden]
    TernaryMatrix q, k, v;             // hidden -> heads * head_dim, kv_heads * head_dim (twice)
    const float* attn_sub_norm = nullptr;  // [heads * head_dim]
    TernaryMatrix attn_output;             // heads * head_dim -> hidden
    const float* ffn_norm = nullptr;       // [hidden]
    TernaryMatrix gate, up;                // hidden -> ffn
    const float* ffn_sub_norm = nullptr;   // [ffn]
    TernaryMatrix down;                    // ffn -> hidden
};

struct WeightsView {
    shm::WeightsHeader header;
    TokenTable embedding;
    TokenTable output;                   // the embedding where the file has none of its own
    const float* output_norm = nullptr;  // [hidden]
    const float* rope = nullptr;         // [context][rope_dims]: cosines, then sines
    std::vector<LayerWeights> layers;

    int32_t query_size() const { return static_cast<int32_t>(header.heads * header.head_dim); }
    int32_t kv_size() const { return static_cast<int32_t>(header.kv_heads * header.head_dim); }
    std::span<const uint32_t> end_ids() const { return {header.end_ids, header.end_id_count}; }
};

Result<WeightsView> open_weights(std::span<const std::byte> segment);

}  // namespace bitnetd::worker
