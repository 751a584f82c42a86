// SentencePiece-style merging of one text ("llama" vocabularies, tokenizers.md section 4): the
// adjacent pair whose joined text is the token with the highest score, leftmost on ties, is joined
// until no joined text is a token. A heap over linked symbols. Holds scratch memory: one per thread
// and call.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "common/text/vocabulary_image.h"

namespace bitnetd::text {

class SpmMerger {
  public:
    explicit SpmMerger(const VocabularyView& vocabulary) : vocabulary_(vocabulary) {}

    // Appends the token ids of `text`, in which spaces are already U+2581; fewer than 2^31 bytes.
    void encode(std::string_view text, std::vector<uint32_t>& out);

  private:
    static constexpr uint32_t kEnd = 0xFFFFFFFF;

    struct Symbol {
        uint32_t begin;
        uint32_t bytes;  // 0 once it was joined to its left neighbour
        uint32_t previous;
        uint32_t next;
    };
    struct Candidate {
        uint64_t order;  // falling score, then the index of the left symbol
        uint32_t bytes;  // of the joined text; tells whether either side has changed since
        uint32_t left() const { return static_cast<uint32_t>(order); }
    };
    static bool comes_later(const Candidate& a, const Candidate& b) { return a.order > b.order; }

    bool find_candidate(std::string_view text, uint32_t left);
    void consider(std::string_view text, uint32_t left);
    void merge_all(std::string_view text);
    void emit(std::string_view text, std::vector<uint32_t>& out) const;

    VocabularyView vocabulary_;
    std::vector<Symbol> symbols_;
    std::vector<Candidate> heap_;
};

}  // namespace bitnetd::text
