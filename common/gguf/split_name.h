// The names of the parts of a split GGUF file: "<prefix>-00001-of-00003.gguf". Names only, so that
// who opens the files needs to read none.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace bitnetd::gguf {

struct SplitName {
    std::string prefix;   // never empty, no folder
    uint32_t number = 0;  // 1 .. count; the part's key split.no is one less
    uint32_t count = 0;   // at most 99'999
};

// Nothing when `name` is not of that form.
std::optional<SplitName> parse_split_name(std::string_view name);

// The name of part `number`.
std::string part_name(std::string_view prefix, uint32_t number, uint32_t count);

}  // namespace bitnetd::gguf
