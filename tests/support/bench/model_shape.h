// The shapes of models that are measured: those that people run, with random weights.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "common/quant/quant_types.h"

namespace bitnetd::bench {

struct ModelShape {
    const char* name;
    const char* architecture;  // as GGUF names it
    uint32_t layers;
    uint32_t hidden;
    uint32_t ffn;
    uint32_t heads;
    uint32_t kv_heads;
    uint32_t head_dim;
    uint32_t vocab;  // above 512
    uint32_t context;
    float rope_base;
    quant::Type linear;          // of the linear layers
    quant::Type linear_precise;  // of some, where the type is a mix; else the same
    quant::Type table;           // of the embedding and the output matrix
    bool own_output;             // else the output matrix is the embedding
    bool sub_norms;              // before the two projections into the residual stream

    // Whether its linear layers are multiplied in 8-bit numbers.
    bool is_int8() const { return linear != quant::Type::kBF16; }
};

std::span<const ModelShape> model_shapes();
// Null when there is none.
const ModelShape* find_shape(std::string_view name);
// "2b4t, 0.7b, ...".
std::string shape_names();

}  // namespace bitnetd::bench
