// `bitnetctl model info`: what a model is, from its head alone. Anything whose head can be read is
// described, also when no build could serve it; then it says why this one does not.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "worker/prepare/hyperparameters.h"
#include "worker/prepare/model_input.h"

namespace bitnetd::worker {

// One of the files a model was opened from.
struct FileSize {
    std::string name;
    uint64_t bytes = 0;
};

std::vector<FileSize> sizes_of(const std::vector<NamedSource>& files);

// "safetensors" or "gguf", by the files' names.
std::string_view format_of(const std::vector<FileSize>& files);

// Every fact as JSON; keys are stable. Absent is null, or an absent key below "shape". Whether it
// is served may depend on what the operator says beside its files.
nlohmann::ordered_json describe(const ModelInput& input, const ModelOverrides& overrides,
                                const std::vector<FileSize>& files);

// The same for a person, without the single keys and tensors.
std::string info_text(const nlohmann::ordered_json& description);

}  // namespace bitnetd::worker
