// Pre-tokenizers: the first cut of a text into pieces that byte-pair merging never crosses
// (tokenizers.md 3.1). A name stands for an ordered list of patterns; pattern 1 cuts the text,
// pattern 2 each of the pieces, and so on; matches and the gaps between them all are pieces.
// Patterns are compiled once with PCRE2 and interpreted: a frontend may not map executable memory
// (common/confine), so just-in-time code would be tested and never run. Immutable afterwards: any
// number of threads may split at once.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace bitnetd::text {

// What a `tokenizer.ggml.pre` name stands for.
struct PreTokenizerRow {
    std::span<const std::string_view> names;
    std::span<const std::string_view> patterns;  // PCRE2 syntax, UTF mode
    bool ignore_merges = false;
    bool add_bos = false;  // the default where the file does not say
};

// The row of `name`, or null when this build does not know it. The empty name is the default row.
const PreTokenizerRow* find_pre_tokenizer(std::string_view name);

class PreTokenizer {
  public:
    static Result<PreTokenizer> create(std::string_view name);
    PreTokenizer(PreTokenizer&&) noexcept;
    PreTokenizer& operator=(PreTokenizer&&) noexcept;
    ~PreTokenizer();

    // The pieces of `text`, which must be valid UTF-8, in order, none empty; together they are the
    // text. Fails only when a pattern hits its match limit.
    Result<std::vector<std::string_view>> split(std::string_view text) const;

  private:
    struct Pattern;
    PreTokenizer();

    std::vector<Pattern> patterns_;
};

}  // namespace bitnetd::text
