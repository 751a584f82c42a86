// The byte alphabet of "gpt2" vocabularies: every byte has a printable character, so that token
// texts can be stored as text (tokenizers.md 3.2). 21-7E, A1-AC, AE-FF stand for themselves; the
// other 68 bytes, in order, are U+0100 .. U+0143. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace bitnetd::text {

// The code point that stands for `byte`.
uint32_t byte_to_alphabet(uint8_t byte) noexcept;

// The bytes that a mapped text stands for; nothing when a character of it is outside the alphabet.
std::optional<std::string> alphabet_to_bytes(std::string_view mapped);

}  // namespace bitnetd::text
