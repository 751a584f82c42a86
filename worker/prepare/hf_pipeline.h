// What tokenizer.json does to a text before and after byte-pair merging, reduced to what
// vocabularies of GGUF files can say (tokenizers.md section 8). What they cannot say is refused by
// name. Loader process; the file is untrusted.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/base/result.h"
#include "common/safetensors/tokenizer_json.h"

namespace bitnetd::worker {

struct HfPipeline {
    // Merges work on the byte alphabet ("gpt2"). Otherwise on characters with U+2581 for spaces,
    // and on bytes where there is no token for a character ("llama").
    bool byte_level = true;
    std::string pre;                   // byte-level: a name of common/text/pre_tokenizer.h
    bool normalise_nfc = false;        // byte-level
    bool add_space_prefix = false;     // otherwise
    std::optional<uint32_t> first_id;  // put before a text
    std::optional<uint32_t> last_id;   // put behind it
};

// The error names the part of tokenizer.json.
Result<HfPipeline> read_pipeline(const safetensors::TokenizerJson& tokenizer);

}  // namespace bitnetd::worker
