// The numbers of a model, from its keys: read, bounded, and checked against each other before
// anything is computed or allocated from them. Loader process; the keys are untrusted.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/gguf/metadata.h"
#include "shm/abi/weights_abi.h"
#include "worker/model/family.h"
#include "worker/prepare/rope_scaling.h"

namespace bitnetd::worker {

inline constexpr uint64_t kLayersMax = 512;
inline constexpr uint64_t kHiddenMax = 65'536;
inline constexpr uint64_t kInputsMax = 1u << 17;  // of one product: kernel_api.h TernaryGemm
inline constexpr uint64_t kHeadDimMax = 512;
inline constexpr uint64_t kContextMax = 1u << 20;
inline constexpr uint64_t kRopeTableBytesMax = 256u << 20;

// What an operator may set because files do not say it, or say it wrongly.
struct ModelOverrides {
    std::optional<shm::Activation> activation;  // of the families named bitnet
    std::optional<shm::Pooling> pooling;
    std::optional<bool> output_screen;  // whether the output matrix gets one; else by its size
};
// "auto", "silu" or "relu2"; "auto", "none", "mean" or "last"; "auto", "on" or "off".
Result<ModelOverrides> parse_overrides(std::string_view activation, std::string_view pooling,
                                       std::string_view output_screen);

struct Hyperparameters {
    const Family* family = nullptr;
    std::string architecture;  // as in the file: also the prefix of its keys
    uint32_t layers = 0;
    uint32_t hidden = 0;
    uint32_t ffn = 0;
    uint32_t heads = 0;
    uint32_t kv_heads = 0;
    uint32_t head_dim = 0;
    uint32_t vocab = 0;
    uint32_t context = 0;
    float norm_eps = 0;
    shm::Activation activation{};
    shm::Pooling pooling{};
    float embedding_scale = 1;
    float attention_scale = 1;
    float logit_soft_cap = 0;     // 0: none
    uint32_t sliding_window = 0;  // positions; 0: no layer has one
    uint32_t window_pattern = 0;  // every so manieth layer has none
    uint32_t rope_dims = 0;
    double rope_base = 0;
    double rope_base_windowed = 0;  // of layers with a window, whose angles are never scaled
    RopeScaling rope_scaling;

    ModelSizes sizes() const { return {hidden, ffn, heads, kv_heads, head_dim, vocab}; }
    uint64_t rope_table_bytes() const { return uint64_t{context} * rope_dims * sizeof(float); }
    // Whether windowed layers turn by other angles than the others.
    bool has_windowed_rope() const {
        return sliding_window > 0 &&
               (rope_base_windowed != rope_base || rope_scaling.type != RopeScaling::Type::kNone);
    }
};

// Refuses, by name, what is no model of a family that this build computes. Asked before the rest of
// the file is looked at, so that the most telling reason comes first.
Result<void> check_architecture(const gguf::Metadata& metadata);

// Refuses, by key, settings that this build does not compute. `vocab` is the number of tokens of
// the model's vocabulary. check_architecture() has passed.
Result<Hyperparameters> read_hyperparameters(const gguf::Metadata& metadata, uint32_t vocab,
                                             const ModelOverrides& overrides);

}  // namespace bitnetd::worker
