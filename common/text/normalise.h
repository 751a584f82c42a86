// Unicode normalisation form NFC, which some tokenizer.json ask for (tokenizers.md section 8).
// Time is n log n in the worst case: a long run of combining marks is sorted, not bubbled. Pure
// function; any thread.
#pragma once

#include <string>
#include <string_view>

namespace bitnetd::text {

// `text` should be valid UTF-8: it is not kept where it is not.
std::string to_nfc(std::string_view text);

// Whether every character is below U+0300: such text is in NFC already.
bool is_surely_nfc(std::string_view text) noexcept;

}  // namespace bitnetd::text
