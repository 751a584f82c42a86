// Rows of F32, F16, BF16 and Q8_0 tensors as floats, exactly as their formats define them. Loader
// process; refuses values that are not finite, because no kernel is made for them.
#pragma once

#include <cstddef>
#include <span>

#include "common/base/result.h"
#include "common/quant/quant_types.h"

namespace bitnetd::worker {

// `row` holds out.size() elements of `type`, one of the four above.
Result<void> decode_floats(quant::Type type, std::span<const std::byte> row, std::span<float> out);

}  // namespace bitnetd::worker
