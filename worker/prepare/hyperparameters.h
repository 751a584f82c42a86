// The numbers of a model, from the keys of its file: read, bounded, and checked against each other
// before anything is computed or allocated from them. Loader process; the file is untrusted.
#pragma once

#include <cstdint>
#include <string>

#include "common/base/result.h"
#include "common/gguf/gguf_reader.h"
#include "shm/abi/weights_abi.h"

namespace bitnetd::worker {

inline constexpr uint64_t kLayersMax = 512;
inline constexpr uint64_t kHiddenMax = 65'536;
inline constexpr uint64_t kInputsMax = 1u << 17;  // of one product: kernel_api.h TernaryGemm
inline constexpr uint64_t kHeadDimMax = 512;
inline constexpr uint64_t kContextMax = 1u << 20;
inline constexpr uint64_t kRopeTableBytesMax = 256u << 20;

struct Hyperparameters {
    shm::Architecture architecture{};
    std::string architecture_name;  // as in the file: also the prefix of its keys
    uint32_t layers = 0;
    uint32_t hidden = 0;
    uint32_t ffn = 0;
    uint32_t heads = 0;
    uint32_t kv_heads = 0;
    uint32_t head_dim = 0;
    uint32_t rope_dims = 0;
    uint32_t vocab = 0;
    uint32_t context = 0;
    float norm_eps = 0;
    double rope_base = 0;
    double rope_angle_factor = 1;  // 1 / linear scaling

    uint32_t query_size() const { return heads * head_dim; }
    uint32_t kv_size() const { return kv_heads * head_dim; }
    uint64_t rope_table_bytes() const { return uint64_t{context} * rope_dims * sizeof(float); }
};

// Refuses, by name, what is no model of an architecture that this build computes. Asked before the
// rest of the file is looked at, so that the most telling reason comes first.
Result<void> check_architecture(const gguf::File& file);

// Refuses, by key, settings that this build does not compute. `vocab` is the number of tokens of
// the file's vocabulary. check_architecture() has passed.
Result<Hyperparameters> read_hyperparameters(const gguf::File& file, uint32_t vocab);

}  // namespace bitnetd::worker
