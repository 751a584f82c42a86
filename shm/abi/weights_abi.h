// The layout of a sealed weights segment: what the loader makes of a model file, and all that a
// worker knows of the model. Tensors are in the packing that the kernels read.
// Written by the loader, then sealed (F_SEAL_WRITE|SHRINK|GROW); mapped read-only by every worker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace bitnetd::shm {

inline constexpr uint64_t kWeightsMagic = 0x3153544847494557;  // "WEIGHTS1"
inline constexpr uint32_t kWeightsAbiVersion = 1;
inline constexpr uint64_t kTensorAlignment = 64;

enum class Architecture : uint32_t {
    kBitnetB158 = 1,  // sub-norms, ReLU^2, NEOX rotary (architectures.md section 2)
};

enum class Packing : uint32_t {
    kF32 = 1,
    kF16 = 2,
    kTernary2Bit = 3,  // kernel_api.h TernaryGemm: blocks of 256 weights in 64 bytes
};

// The part a tensor plays in its layer (or outside of all layers).
enum class TensorPart : uint32_t {
    kTokenEmbedding = 1,  // [vocab][hidden]
    kOutputNorm = 2,      // [hidden]
    kOutput = 3,          // [vocab][hidden]; absent = tied to kTokenEmbedding
    kRopeCosSin = 4,      // [context][rope_dims] f32: cosines, then sines, of each position

    kAttnNorm = 16,     // [hidden]
    kAttnQ = 17,        // [heads * head_dim][hidden]
    kAttnK = 18,        // [kv_heads * head_dim][hidden]
    kAttnV = 19,        // [kv_heads * head_dim][hidden]
    kAttnSubNorm = 20,  // [heads * head_dim]
    kAttnOutput = 21,   // [hidden][heads * head_dim]
    kFfnNorm = 22,      // [hidden]
    kFfnGate = 23,      // [ffn][hidden]
    kFfnUp = 24,        // [ffn][hidden]
    kFfnSubNorm = 25,   // [ffn]
    kFfnDown = 26,      // [hidden][ffn]
    kAttnQBias = 27,    // [heads * head_dim]; biases are optional
    kAttnKBias = 28,
    kAttnVBias = 29,
    kAttnOutputBias = 30,
};

inline constexpr uint32_t kNoLayer = UINT32_MAX;

struct TensorEntry {
    TensorPart part;
    uint32_t layer;  // kNoLayer outside of layers
    Packing packing;
    float scale;       // of a ternary tensor: w = scale * t; else 1
    uint32_t rows;     // outputs; 1 for vectors
    uint32_t columns;  // inputs, without padding
    uint64_t offset;   // from the start of the segment; a multiple of kTensorAlignment
    uint64_t bytes;
};
static_assert(sizeof(TensorEntry) == 40 && std::is_trivially_copyable_v<TensorEntry>);

inline constexpr uint32_t kEndIdsMax = 32;

// Offset 0; tensor_count TensorEntry follow at header_bytes.
struct WeightsHeader {
    uint64_t magic;
    uint32_t abi_version;
    uint32_t header_bytes;  // sizeof(WeightsHeader)
    uint64_t segment_bytes;
    uint8_t digest[16];  // XXH3-128 of the model file and the packing: names these weights
    Architecture architecture;
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
    uint32_t end_id_count;  // end-of-generation ids, <= kEndIdsMax
    uint32_t end_ids[kEndIdsMax];
    uint32_t reserved[3];  // zero
};
static_assert(sizeof(WeightsHeader) == 232 && std::is_trivially_copyable_v<WeightsHeader>);

}  // namespace bitnetd::shm
