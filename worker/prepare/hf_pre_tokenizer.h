// From what tokenizer.json says about cutting text to the name that GGUF files have for it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace bitnetd::worker {

// One of the steps of a byte-level pre-tokenizer.
struct HfStep {
    enum class Kind : uint8_t {
        kSplit,          // by the expression `pattern`; matches and gaps are pieces
        kByteLevel,      // bytes to the byte alphabet, no cut
        kByteLevelGpt2,  // cut by GPT-2's expression first
        kPunctuation,    // runs of it
        kDigits,         // each digit
        kDigitRun,       // runs of digits
    };
    Kind kind{};
    std::string_view pattern;

    bool operator==(const HfStep&) const = default;
};

// A name that common/text/pre_tokenizer.h knows. Unknown steps are refused, quoting them.
Result<std::string> find_pre_name(std::span<const HfStep> steps, bool ignore_merges);

}  // namespace bitnetd::worker
