// A vocabulary of any size that real text can be written in: the 256 bytes, then all words of two
// letters, of three and of four, in order, each a merge of the word without its last letter with
// that letter. The last 256 ids are control tokens, named and placed as Llama 3 has them.
#pragma once

#include <cstdint>

#include "common/gguf/gguf_writer.h"

namespace bitnetd::bench {

// The keys of the tokenizer and a chat template. 512 <= size <= 475,000.
void add_random_vocabulary(uint32_t size, gguf::Writer& writer);

}  // namespace bitnetd::bench
