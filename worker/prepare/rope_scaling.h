// How rotary angles are stretched beyond the context a model was trained with (architectures.md
// section 1, after YaRN: arXiv 2309.00071).
#pragma once

#include <cstdint>

namespace bitnetd::worker {

struct RopeScaling {
    enum class Type : uint8_t { kNone, kLinear, kYarn };
    Type type = Type::kNone;
    double factor = 1;  // > 0; angles are divided by it
    // YaRN only.
    double original_context = 0;
    double ext_factor = 1;   // how much of the ramp between both angles is applied
    double attn_factor = 1;  // cosines and sines are multiplied by it and by YaRN's own
    double beta_fast = 32;
    double beta_slow = 1;
};

}  // namespace bitnetd::worker
