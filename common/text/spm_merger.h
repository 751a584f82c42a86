// SentencePiece-style merging of one text ("llama" vocabularies, tokenizers.md section 4): the
// adjacent pair whose joined text is the token with the highest score, leftmost on ties, is joined
// until no joined text is a token. A heap over linked symbols. Holds scratch memory: one per thread
// and call.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "common/text/merge_queue.h"
#include "common/text/vocabulary_image.h"

namespace bitnetd::text {

class SpmMerger {
  public:
    explicit SpmMerger(const VocabularyView& vocabulary) : vocabulary_(vocabulary) {}

    // Appends the token ids of `text`, in which spaces are already U+2581; fewer than 2^31 bytes.
    void encode(std::string_view text, std::vector<uint32_t>& out);

    // Pairs looked at so far, over all texts.
    uint64_t work() const { return queue_.added(); }

  private:
    static constexpr uint32_t kEnd = 0xFFFFFFFF;

    struct Symbol {
        uint32_t begin;
        uint32_t bytes;
        uint32_t previous;
        uint32_t next;
        uint32_t id;      // the token it was joined to; kNoId for a character as it was given
        uint32_t order;   // of the pair that starts here; kNoOrder when it is no token, or when
                          // this symbol was joined to its left neighbour
        uint32_t joined;  // the token that pair is
    };

    bool find_pair(std::string_view text, uint32_t left);
    void join(std::string_view text, uint32_t left);
    void emit(std::string_view text, std::vector<uint32_t>& out) const;

    VocabularyView vocabulary_;
    std::vector<Symbol> symbols_;
    MergeQueue queue_;
};

}  // namespace bitnetd::text
