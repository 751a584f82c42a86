// Puts values into a Metadata as GGUF's writer and reader would give them back: the same types, and
// numbers rounded to f32.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/gguf/metadata.h"

namespace bitnetd::worker {

// Each key is new to `out` (BITNETD_CHECK).
void put_u32(gguf::Metadata& out, std::string key, uint32_t value);
void put_f32(gguf::Metadata& out, std::string key, double value);
void put_bool(gguf::Metadata& out, std::string key, bool value);
void put_text(gguf::Metadata& out, std::string key, std::string value);
void put_texts(gguf::Metadata& out, std::string key, std::vector<std::string> values);
void put_i32s(gguf::Metadata& out, std::string key, std::span<const int32_t> values);
void put_f32s(gguf::Metadata& out, std::string key, std::span<const float> values);

}  // namespace bitnetd::worker
