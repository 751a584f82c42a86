// `bitnetctl model convert`: a model, whatever it is stored in, as one GGUF file. Ternary matrices
// are stored in the type that is asked for, from their digits and scales; a type that cannot hold a
// scale exactly is refused, but TQ1_0 and TQ2_0, which round it to half precision: the report says
// by how much. What is not ternary stays as it is. Loader process; every tensor is streamed.
//   convert_plan.h    what becomes of each tensor      detected_ternary.h  F16 that is ternary
//   tensor_writer.h   one tensor into the new file     gguf_keys.h         its keys
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "worker/inspect/task_io.h"
#include "worker/prepare/model_input.h"

namespace bitnetd::worker {

struct ConvertOptions {
    quant::Type ternary = quant::Type::kI2_S;
    std::optional<quant::Type> floats;  // of matrices that are not ternary; absent: as stored
};

// By their names; `floats` may be empty.
Result<ConvertOptions> parse_convert_options(std::string_view ternary, std::string_view floats);

// A tensor of which the new file holds other values than the old one.
struct RoundedTensor {
    std::string name;
    quant::Type from{};
    quant::Type to{};
    // Of ternary matrices: of the scale, against the scale. Of others: the largest of any value,
    // against the tensor's largest magnitude.
    double error = 0;
};

struct ConvertReport {
    quant::Type ternary_type{};
    uint64_t ternary = 0;  // tensors stored in it
    uint64_t floats = 0;   // other matrices stored in another type than before
    uint64_t widened = 0;  // half-precision vectors stored as F32, without loss
    uint64_t kept = 0;
    std::vector<RoundedTensor> rounded;
    uint64_t bytes = 0;  // of the new file
};

// Writes the new file to `fd`, an empty file, from its start. On error what was written is to be
// thrown away.
Result<ConvertReport> convert(ModelInput& input, const ConvertOptions& options, int fd,
                              const TaskProgress& progress);

nlohmann::ordered_json to_json(const ConvertReport& report);
std::string report_text(const ConvertReport& report);

}  // namespace bitnetd::worker
