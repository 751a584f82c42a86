// Goal: no bytes make a reader of checkpoint files crash, read out of bounds or take memory the
// input does not justify; what it accepts keeps its promises.
// Method: the first byte says which file the rest is.
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>

#include "common/safetensors/hf_config.h"
#include "common/safetensors/hf_side_files.h"
#include "common/safetensors/safetensors_reader.h"
#include "common/safetensors/shard_index.h"
#include "common/safetensors/tensor_names.h"

namespace {

using namespace bitnetd;
using namespace bitnetd::safetensors;

template <typename T>
bool accepted(const Result<T>& result) {
    if (!result.ok() && result.error().message.empty()) std::abort();
    return result.ok();
}

void read_file(std::span<const uint8_t> bytes) {
    MemorySource source(std::as_bytes(bytes));
    const auto file = read(source);
    if (!accepted(file)) return;
    uint64_t covered = 0;
    for (const TensorInfo& tensor : file->tensors) {
        if (tensor.begin != covered || tensor.end < tensor.begin) std::abort();
        if (file->data_start + tensor.end > bytes.size()) std::abort();
        if (file->find_tensor(tensor.name) != &tensor) std::abort();
        static_cast<void>(find_gguf_name(tensor.name, Family::kLlama));
        static_cast<void>(find_gguf_name(tensor.name, Family::kGemma3));
        covered = tensor.end;
    }
}

void read_index(std::string_view text) {
    const auto index = parse_shard_index(text);
    if (!accepted(index)) return;
    for (const std::string& name : index->files) {
        if (name.find('/') != std::string::npos || name.front() == '.') std::abort();
    }
    for (const auto& [tensor, file] : index->file_of) {
        if (file >= index->files.size()) std::abort();
    }
    static_cast<void>(Checkpoint::of_shards(*index, std::vector<File>(index->files.size())));
}

void read_config(std::string_view text) {
    const auto config = parse_model_config(text);
    if (!accepted(config)) return;
    if (config->head_dim == 0 || config->kv_heads == 0 || config->layers == 0) std::abort();
    if (config->windowed.size() != config->layers) std::abort();
    for (const uint32_t id : config->eos_ids) {
        if (id >= config->vocab_size) std::abort();
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) return 0;
    const std::span rest(data + 1, size - 1);
    const std::string_view text(reinterpret_cast<const char*>(rest.data()), rest.size());
    switch (data[0] % 7) {
        case 0:
            read_file(rest);
            break;
        case 1:
            read_index(text);
            break;
        case 2:
            read_config(text);
            break;
        case 3:
            static_cast<void>(accepted(parse_generation_config(text, 1000)));
            break;
        case 4:
            static_cast<void>(accepted(parse_tokenizer_config(text)));
            break;
        case 5:
            static_cast<void>(accepted(parse_pooling(text)));
            break;
        default:
            static_cast<void>(find_gguf_name(text, Family::kQwen3));
            static_cast<void>(hf_name_of(text, Family::kBitnet1));
    }
    return 0;
}
