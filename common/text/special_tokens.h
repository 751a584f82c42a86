// Cuts special tokens out of a text (tokenizers.md section 5): longest special first, its
// occurrences left to right, each cut out of the fragments that are left. Immutable after
// construction; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "common/text/marked_text.h"
#include "common/text/vocabulary_image.h"

namespace bitnetd::text {

struct Fragment {
    std::string_view text;
    uint32_t id = kNoId;  // the special token that `text` is, or kNoId for raw text
};

class SpecialTokens {
  public:
    explicit SpecialTokens(const VocabularyView& vocabulary);

    // User-defined tokens are always cut out; control and unknown tokens only with parse_special,
    // and, when `marks` is given (over the same bytes as `text`), only where every byte is trusted.
    std::vector<Fragment> split(std::string_view text, bool parse_special,
                                const MarkedText* marks) const;

  private:
    // The specials that occur in `text` at all, in cutting order. One pass.
    std::vector<uint32_t> occurring(std::string_view text) const;
    void mark_matches(std::string_view text, size_t at, std::vector<bool>& present) const;

    struct Range {
        uint32_t begin = 0;
        uint32_t end = 0;
    };
    VocabularyView vocabulary_;
    std::vector<uint32_t> by_text_;         // indices into vocabulary_.specials(), sorted by text
    std::array<Range, 256> by_first_byte_;  // ranges of by_text_
};

}  // namespace bitnetd::text
