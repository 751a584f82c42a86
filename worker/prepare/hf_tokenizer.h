// tokenizer.json and its neighbours as the tokenizer keys of a GGUF file (tokenizers.md sections 1
// and 8), which vocabulary_from_gguf() then reads. Keys of our own say what GGUF cannot:
//   bitnetd.tokenizer.no_default_ids  bool   special ids are those named; the format's defaults are
//                                            not meant
//   bitnetd.tokenizer.end_ids         i32[]  end a generation, beside those found as in any file
//   bitnetd.tokenizer.ignore_merges   bool   where it is not the default of tokenizer.ggml.pre
//   bitnetd.tokenizer.nfc             bool   text is put into Unicode's form NFC first
// Loader process and tests; the files are untrusted.
#pragma once

#include <optional>
#include <string>

#include "common/base/result.h"
#include "common/gguf/metadata.h"
#include "common/safetensors/hf_config.h"

namespace bitnetd::worker {

struct HfTokenizerTexts {
    std::string tokenizer;                         // tokenizer.json
    std::optional<std::string> tokenizer_config;   // tokenizer_config.json
    std::optional<std::string> generation_config;  // generation_config.json
    std::optional<std::string> chat_template;      // chat_template.jinja
};

// The vocabulary gets config.vocab_size tokens: ids without one become unused [PAD{id}]. The error
// names file and key.
Result<void> add_tokenizer_keys(const HfTokenizerTexts& texts,
                                const safetensors::ModelConfig& config, gguf::Metadata& out);

}  // namespace bitnetd::worker
