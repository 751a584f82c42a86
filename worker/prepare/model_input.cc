#include "worker/prepare/model_input.h"

#include <algorithm>
#include <set>

#include "common/base/quote.h"
#include "worker/prepare/gguf_input.h"
#include "worker/prepare/hf_input.h"

namespace bitnetd::worker {
namespace {

// A GGUF file may have any name; the files of a checkpoint have theirs.
bool is_checkpoint(const std::vector<NamedSource>& files) {
    return std::any_of(files.begin(), files.end(), [](const NamedSource& file) {
        return file.name == "config.json" || file.name.ends_with(".safetensors");
    });
}

}  // namespace

const ModelTensor* ModelInput::find(std::string_view name) const {
    const auto at = std::find_if(tensors_.begin(), tensors_.end(),
                                 [name](const ModelTensor& tensor) { return tensor.name == name; });
    return at == tensors_.end() ? nullptr : &*at;
}

Result<std::unique_ptr<ModelInput>> open_model(std::vector<NamedSource> files,
                                               const LayoutOptions& options) {
    if (files.empty()) return invalid("the model has no file");
    std::set<std::string_view> names;
    for (const NamedSource& file : files) {
        if (!names.insert(file.name).second) {
            return invalid("two files of the model are called " + quote(file.name));
        }
    }
    if (is_checkpoint(files)) return open_hf(std::move(files), options);
    return GgufInput::open(std::move(files), options);
}

}  // namespace bitnetd::worker
