// Token ids back to text, one at a time: tokens are byte strings, and a character may be spread
// over several. What comes out is always valid UTF-8 (tokenizers.md section 6). One Detokenizer per
// sequence; it holds at most three bytes. Not shared between threads.
#pragma once

#include <cstdint>
#include <string>

#include "common/text/vocabulary_image.h"

namespace bitnetd::text {

struct DetokenizerOptions {
    bool print_special = false;  // print control and unknown tokens as their text
    // Drop one leading space of the first text, which an SPM vocabulary puts there: for text that
    // does not continue a prompt.
    bool strip_leading_space = false;
};

class Detokenizer {
  public:
    explicit Detokenizer(const VocabularyView& vocabulary, DetokenizerOptions options = {})
        : vocabulary_(vocabulary), options_(options) {}

    // The raw bytes of one token as this detokenizer prints it; empty for an id beyond the
    // vocabulary.
    std::string_view bytes(uint32_t id) const;

    // Appends to `out` the characters that `id` completes. Ill-formed bytes become U+FFFD at once.
    void push(uint32_t id, std::string& out);

    // The end of the sequence: what is left of an unfinished character becomes one U+FFFD.
    void flush(std::string& out);

  private:
    VocabularyView vocabulary_;
    DetokenizerOptions options_;
    std::string pending_;  // the beginning of a character
};

}  // namespace bitnetd::text
