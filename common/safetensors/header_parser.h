// Parses the JSON header of a safetensors file without building a document: a header of any size
// costs its tensors only. Knows each tensor by itself; how they lie together is checked by read().
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/safetensors/safetensors_reader.h"

namespace bitnetd::safetensors {

struct Header {
    std::map<std::string, std::string> metadata;
    std::vector<TensorInfo> tensors;  // in the order of the header; names differ
};

// Refuses what a lenient JSON reader would take: repeated keys, numbers that are not plain
// non-negative integers, NUL, unknown fields, text behind the object but for spaces.
Result<Header> parse_header(std::string_view text);

}  // namespace bitnetd::safetensors
