// The tensors that a model of some family has, as tables: one row per tensor with its name in GGUF,
// its part in the layer and its shape. The loader compares files with them, the worker segments.
#pragma once

#include <cstdint>
#include <string_view>

#include "shm/abi/weights_abi.h"

namespace bitnetd::worker {

enum class TensorKind : uint8_t {
    kVector,  // f32
    kLinear,  // a weight matrix, with what belongs to it (TensorSpec::extras)
    kTable,   // one row per token: embedding and output matrix
};

enum class TensorSize : uint8_t { kOne, kHidden, kQuery, kKv, kFfn, kHead, kVocab };

enum class TensorNeed : uint8_t { kRequired, kOptional };

// What a linear layer "blk.0.attn_q" may bring along.
enum LinearExtras : uint8_t {
    kPlain = 0,
    kBias = 1,       // blk.0.attn_q.bias
    kNeedsBias = 8,  // the same, and it must be there
    kScale = 2,      // blk.0.attn_q.scale: the products are multiplied by it
    kInputNorm = 4,  // blk.0.attn_q_norm_in.weight
};

struct TensorSpec {
    std::string_view name;  // without "blk.<i>." and ".weight"
    shm::TensorPart part;
    TensorKind kind;
    TensorSize rows;
    TensorSize columns;
    TensorNeed need;
    uint8_t extras;  // of LinearExtras
};

constexpr TensorSpec norm_spec(std::string_view name, shm::TensorPart part, TensorSize size) {
    return {name, part, TensorKind::kVector, TensorSize::kOne, size, TensorNeed::kRequired, kPlain};
}
constexpr TensorSpec linear_spec(std::string_view name, shm::TensorPart part, TensorSize outputs,
                                 TensorSize inputs, int extras = kPlain) {
    return {name,
            part,
            TensorKind::kLinear,
            outputs,
            inputs,
            TensorNeed::kRequired,
            static_cast<uint8_t>(extras)};
}

// Outside of all layers every family has the same. Without an output matrix the embedding is it.
inline constexpr TensorSpec kTensorsOutside[] = {
    {"token_embd", shm::TensorPart::kTokenEmbedding, TensorKind::kTable, TensorSize::kVocab,
     TensorSize::kHidden, TensorNeed::kRequired, kPlain},
    norm_spec("output_norm", shm::TensorPart::kOutputNorm, TensorSize::kHidden),
    {"output", shm::TensorPart::kOutput, TensorKind::kTable, TensorSize::kVocab,
     TensorSize::kHidden, TensorNeed::kOptional, kPlain},
};

// The numbers behind the sizes.
struct ModelSizes {
    uint32_t hidden;
    uint32_t ffn;
    uint32_t heads;
    uint32_t kv_heads;
    uint32_t head_dim;
    uint32_t vocab;

    uint32_t of(TensorSize size) const {
        switch (size) {
            case TensorSize::kOne:
                return 1;
            case TensorSize::kHidden:
                return hidden;
            case TensorSize::kQuery:
                return heads * head_dim;
            case TensorSize::kKv:
                return kv_heads * head_dim;
            case TensorSize::kFfn:
                return ffn;
            case TensorSize::kHead:
                return head_dim;
            case TensorSize::kVocab:
                return vocab;
        }
        return 0;
    }
};

}  // namespace bitnetd::worker
