// A family of models that share a forward pass. Each has one file in worker/model/families/: its
// tensors, its fixed choices, and its layer as the formulas of architectures.md. The table in
// families.def has one row for each. The loader asks what a file must hold, the worker what to
// compute.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "shm/abi/weights_abi.h"
#include "worker/model/tensor_spec.h"

namespace bitnetd::worker {

class LayerPass;
struct LayerWeights;

// Which values of a head turn together: pair p is (x[2p], x[2p + 1]) or (x[p], x[p + n_rot / 2]).
enum class RopeStyle : uint8_t { kNorm, kNeox };

struct Family {
    std::span<const std::string_view> names;  // general.architecture; the first names the family
    std::span<const TensorSpec> layer_tensors;
    RopeStyle rope;
    shm::Activation activation;  // unless the file or the operator says otherwise
    // Every linear layer is ternary: a float matrix is one if it holds nothing but -s, 0 and s.
    bool is_ternary;
    bool scales_embedding;    // by the square root of the hidden size
    uint32_t window_pattern;  // of models with sliding windows; 0: the family has none
    // One layer of the rows of a step, from the residual stream to the residual stream.
    void (*layer)(LayerPass& pass, const LayerWeights& w) noexcept;
};

namespace families {
#define BITNETD_FAMILY(constant) extern const Family constant;
#include "worker/model/families.def"
}  // namespace families

std::span<const Family* const> families_known();
// By any of its names; null when unknown.
const Family* find_family(std::string_view name);

}  // namespace bitnetd::worker
