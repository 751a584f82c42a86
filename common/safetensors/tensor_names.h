// The tensors of a checkpoint by the names that GGUF files give them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/safetensors/hf_config.h"

namespace bitnetd::safetensors {

enum class Part : uint8_t {
    kItself,       // the GGUF tensor's content
    kWeightScale,  // the scale of the packed weight that `gguf_name` names
    kIgnored,      // nothing that is needed: gguf_name is empty
};

struct TensorName {
    std::string gguf_name;  // "blk.3.attn_q.weight"
    Part part = Part::kItself;
    bool rows_permuted = false;  // GGUF has the rows in another order (row_permutation.h)
};

// Nothing for a name that no model of the family has. Checkpoints of a bare model, without its
// head, leave the leading "model." away.
std::optional<TensorName> find_gguf_name(std::string_view hf_name, Family family);

// The other way round, for messages: "model.layers.3.self_attn.q_proj.weight". Of several
// spellings the current one. Empty for a name that checkpoints do not have.
std::string hf_name_of(std::string_view gguf_name, Family family);

}  // namespace bitnetd::safetensors
