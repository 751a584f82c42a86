// The keys of a model file as JSON, for people and scripts to look at.
#pragma once

#include <nlohmann/json.hpp>

#include "common/gguf/metadata.h"

namespace bitnetd::worker {

// A scalar as it is; an array of up to `elements_max` elements as an array, a longer one as
// {"array of": type, "count": n}. Numbers that JSON does not have (NaN, infinities) become null.
nlohmann::ordered_json to_json(const gguf::Value& value, size_t elements_max);

// `indent` as nlohmann's dump(). ASCII only, so that nothing in a file can speak to a terminal;
// what is not UTF-8 becomes U+FFFD.
std::string dump(const nlohmann::ordered_json& json, int indent);

}  // namespace bitnetd::worker
