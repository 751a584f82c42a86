// Text to token ids, by the vocabulary of one model. Frontend process (loop and pool threads), and
// tests. A Tokenizer never changes after create(): any number of threads may encode at once.
//   vocabulary_image.h  what it reads        pre_tokenizer.h  text -> pieces
//   special_tokens.h    special tokens       bpe_merger.h, spm_merger.h  piece -> ids
// Going back from ids to text: detokenizer.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/text/marked_text.h"
#include "common/text/pre_tokenizer.h"
#include "common/text/special_tokens.h"
#include "common/text/vocabulary_image.h"

namespace bitnetd::text {

struct EncodeOptions {
    bool add_special = false;    // BOS and EOS as the model wants them
    bool parse_special = false;  // take "<|eot_id|>" and the like in the text for the token
};

class Tokenizer {
  public:
    static constexpr size_t kTextBytesMax = 32u << 20;

    // The memory behind `vocabulary` must outlive the tokenizer. `text_bytes_max` bounds one
    // encode() and is at most kTextBytesMax.
    static Result<Tokenizer> create(VocabularyView vocabulary,
                                    size_t text_bytes_max = kTextBytesMax);

    // Ill-formed UTF-8 is encoded as tokenizers.md section 9 says, not refused.
    Result<std::vector<uint32_t>> encode(std::string_view text, EncodeOptions options) const;

    // A rendered chat prompt (ChatTemplate::render). Control tokens are recognised only in what the
    // template wrote, never in what a user wrote. BOS comes once: from the template, or else from
    // the model where it asks for one. No EOS.
    Result<std::vector<uint32_t>> encode_prompt(const MarkedText& prompt) const;

    const VocabularyView& vocabulary() const { return vocabulary_; }

  private:
    explicit Tokenizer(const VocabularyView& vocabulary)
        : vocabulary_(vocabulary), specials_(vocabulary) {}

    Result<void> check_size(size_t bytes) const;
    Result<void> encode_fragments(const std::vector<Fragment>& fragments,
                                  std::vector<uint32_t>& out) const;
    Result<void> encode_bpe(const std::vector<Fragment>& fragments,
                            std::vector<uint32_t>& out) const;
    static bool are_words_apart(const VocabularyView& vocabulary);
    void encode_spm(const std::vector<Fragment>& fragments, std::vector<uint32_t>& out) const;

    VocabularyView vocabulary_;
    SpecialTokens specials_;
    std::optional<PreTokenizer> pre_tokenizer_;  // BPE only
    // SPM: no token reaches over the end of a word, so words can be merged one by one.
    bool words_are_apart_ = false;
    size_t text_bytes_max_ = kTextBytesMax;
};

}  // namespace bitnetd::text
