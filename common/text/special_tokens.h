// Cuts special tokens out of a text (tokenizers.md section 5): longest special first, its
// occurrences left to right, each cut out of the fragments that are left. One pass over the text,
// however many special tokens there are. Immutable after construction; any thread.
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
    struct Range {
        uint32_t begin = 0;
        uint32_t end = 0;
    };
    // What one split() is about.
    struct Request {
        std::string_view text;
        bool parse_special;
        const MarkedText* marks;
    };
    struct Match {
        size_t at;
        uint32_t place;  // of the special token, in cutting order
    };

    static constexpr uint32_t kNone = 0xFFFFFFFF;

    std::string_view text_of(uint32_t place) const;
    uint32_t longest_at(std::string_view text, size_t at) const;
    uint32_t first_allowed(const Request& request, size_t at, uint32_t place) const;
    std::vector<Match> cut(const Request& request) const;

    VocabularyView vocabulary_;
    // Places, in cutting order, of vocabulary_.specials(), sorted by text.
    std::vector<uint32_t> by_text_;
    std::array<Range, 256> by_first_byte_;  // ranges of by_text_
    // For each place the next one whose text is the same or the beginning of its text, or kNone.
    std::vector<uint32_t> shorter_;
};

}  // namespace bitnetd::text
