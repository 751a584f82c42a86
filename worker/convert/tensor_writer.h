// One tensor of the old model into the new file, part by part.
#pragma once

#include <functional>
#include <span>

#include "worker/convert/convert_plan.h"
#include "worker/inspect/tensor_statistics.h"

namespace bitnetd::worker {

using PartSink = std::function<Result<void>(std::span<const std::byte>)>;

// Gives `sink` exactly plan.bytes. Returns by how much values were rounded, as RoundedTensor::error
// says; 0 is without any loss.
Result<double> write_tensor(ModelInput& input, const PlannedConversion& plan, const PartSink& sink,
                            const ByteCount& progress);

}  // namespace bitnetd::worker
