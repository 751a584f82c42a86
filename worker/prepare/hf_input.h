// A Hugging Face checkpoint as a ModelInput: config.json and its neighbours become the keys, and
// the tensors of the safetensors files the tensors, that a GGUF file of the same model has. What a
// converter would compute is computed while reading: query and key rows of llama models in GGUF's
// order, norms of gemma3 with the 1 that its GGUF files add, rotary factors of Llama 3, masters of
// ternary matrices ternarised. Loader process and tests.
//   hf_directory.h  which files there are    hf_metadata.h   config.json -> keys
//   hf_tensors.h    checkpoint -> tensors    hf_tokenizer.h  tokenizer.json -> keys
#pragma once

#include <memory>
#include <vector>

#include "common/base/result.h"
#include "worker/prepare/model_input.h"

namespace bitnetd::worker {

// `files` by their names in the directory: config.json, tokenizer.json, model.safetensors or
// model.safetensors.index.json and its shards; and where there are any generation_config.json,
// tokenizer_config.json, chat_template.jinja, 1_Pooling/config.json. Others are ignored, but for
// read_all(). The layout options say nothing about checkpoints. The error names file and tensor or
// key.
Result<std::unique_ptr<ModelInput>> open_hf(std::vector<NamedSource> files,
                                            const LayoutOptions& options);

}  // namespace bitnetd::worker
