// The layout of a sealed weights segment: what the loader makes of a model file, and all that a
// worker knows of the model. Tensors are in the packing that the kernels read.
// Written by the loader, then sealed (F_SEAL_WRITE|SHRINK|GROW); mapped read-only by every worker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace bitnetd::shm {

inline constexpr uint64_t kWeightsMagic = 0x3153544847494557;  // "WEIGHTS1"
inline constexpr uint32_t kWeightsAbiVersion = 4;
inline constexpr uint64_t kTensorAlignment = 64;

// Of the gate of the feed-forward part (architectures.md section 1).
enum class Activation : uint32_t { kRelu2 = 1, kSilu = 2, kGelu = 3 };

// How the hidden states of a text become its embedding, as GGUF numbers it. kNone: a language
// model.
enum class Pooling : uint32_t { kNone = 0, kMean = 1, kLast = 3 };

constexpr bool is_known(Pooling pooling) {
    return pooling == Pooling::kNone || pooling == Pooling::kMean || pooling == Pooling::kLast;
}

enum class Packing : uint32_t {
    kF32 = 1,
    kF16 = 2,
    kTernary2Bit = 3,  // kernel_api.h TernaryGemm: blocks of 256 weights in 64 bytes
    kBF16 = 4,
    kBlocks = 5,  // stripes of 16 rows (worker/kernels/block_format.h)
};

// The part a tensor plays in its layer (or outside of all layers).
enum class TensorPart : uint32_t {
    kTokenEmbedding = 1,      // [vocab][hidden]
    kOutputNorm = 2,          // [hidden]
    kOutput = 3,              // [vocab][hidden]; absent = tied to kTokenEmbedding
    kRopeCosSin = 4,          // [context][rope_dims] f32: cosines, then sines, of each position
    kRopeCosSinWindowed = 5,  // the same for layers with a window, where the model has such

    kAttnNorm = 16,      // [hidden]
    kAttnQ = 17,         // [heads * head_dim][hidden]
    kAttnK = 18,         // [kv_heads * head_dim][hidden]
    kAttnV = 19,         // [kv_heads * head_dim][hidden]
    kAttnSubNorm = 20,   // [heads * head_dim]
    kAttnOutput = 21,    // [hidden][heads * head_dim]
    kFfnNorm = 22,       // [hidden]
    kFfnGate = 23,       // [ffn][hidden]
    kFfnUp = 24,         // [ffn][hidden]
    kFfnSubNorm = 25,    // [ffn]
    kFfnDown = 26,       // [hidden][ffn]
    kAttnQNorm = 27,     // [head_dim], for every head of its own
    kAttnKNorm = 28,     // [head_dim]
    kPostAttnNorm = 29,  // [hidden]
    kPostFfnNorm = 30,   // [hidden]
};

// What a tensor is to its part. A linear layer may have a bias [outputs] and a norm of its own at
// its input [inputs]. The output matrix may have a screen (worker/model/output_screen.h): itself in
// eight bits, and of each row two floats that say how far off they are.
enum class TensorRole : uint32_t {
    kWeight = 1,
    kBias = 2,
    kInputNorm = 3,
    kScreen = 4,        // [vocab][hidden] kBlocks
    kScreenErrors = 5,  // [vocab][2] f32
};

inline constexpr uint32_t kNoLayer = UINT32_MAX;

struct TensorEntry {
    TensorPart part;
    TensorRole role;
    uint32_t layer;  // kNoLayer outside of layers
    Packing packing;
    uint32_t block_format;  // of kBlocks: a kernels::BlockFormat; else 0
    float scale;            // of a ternary tensor: w = scale * t; else 1
    uint32_t rows;          // outputs; 1 for vectors
    uint32_t columns;       // inputs, without padding
    uint64_t offset;        // from the start of the segment; a multiple of kTensorAlignment
    uint64_t bytes;
};
static_assert(sizeof(TensorEntry) == 48 && std::is_trivially_copyable_v<TensorEntry>);

inline constexpr uint32_t kEndIdsMax = 32;

// From how many rows on each way of a kernel table is used for ternary products, as measured on
// these weights (worker/model/ternary_choice.h).
struct TernaryTuning {
    char kernel_isa[16];    // the table that was measured; empty: none was
    uint32_t rows_from[2];  // by its ways; 0: it has no such way
};

// Offset 0; tensor_count TensorEntry follow at header_bytes.
struct WeightsHeader {
    uint64_t magic;
    uint32_t abi_version;
    uint32_t header_bytes;  // sizeof(WeightsHeader)
    uint64_t segment_bytes;
    uint8_t digest[16];     // XXH3-128 of the model file and the packing: names these weights
    char family[24];        // whose forward pass it is: the name of a worker/model/family.h Family
    uint32_t tensor_count;  // <= 16384
    uint32_t layers;        // 1 .. 512
    uint32_t hidden;        // 1 .. 65536
    uint32_t ffn;
    uint32_t heads;  // heads % kv_heads == 0
    uint32_t kv_heads;
    uint32_t head_dim;   // <= 512
    uint32_t rope_dims;  // n_rot, even, <= head_dim
    uint32_t vocab;
    uint32_t context;  // positions the model was made for
    float norm_eps;
    Activation activation;
    Pooling pooling;
    float embedding_scale;  // the embedding is multiplied by it; 1: not at all
    float attention_scale;  // scores are multiplied by it
    float logit_soft_cap;   // c: logits become c * tanh(logits / c); 0: they stay
    // Position p of a windowed layer sees p - sliding_window + 1 .. p. Layer i has a window unless
    // i % window_pattern == window_pattern - 1. 0: no layer has.
    uint32_t sliding_window;
    uint32_t window_pattern;
    uint32_t end_id_count;  // end-of-generation ids, <= kEndIdsMax
    uint32_t end_ids[kEndIdsMax];
    TernaryTuning tuning;  // all zero until the loader measured it, before it seals the segment
};
static_assert(sizeof(WeightsHeader) == 296 && std::is_trivially_copyable_v<WeightsHeader>);

}  // namespace bitnetd::shm
