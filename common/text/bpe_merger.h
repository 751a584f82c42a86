// Byte-pair merging of one piece ("gpt2" vocabularies, tokenizers.md 3.3): the adjacent pair with
// the lowest rank, leftmost on ties, is joined until none is in the merge table. A heap over linked
// symbols: n log n in the bytes of the piece. Holds scratch memory: one per thread and call.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/text/vocabulary_image.h"

namespace bitnetd::text {

class BpeMerger {
  public:
    explicit BpeMerger(const VocabularyView& vocabulary) : vocabulary_(vocabulary) {}

    // Appends the token ids of `piece`, raw bytes of fewer than 2^31.
    void encode(std::string_view piece, std::vector<uint32_t>& out);

  private:
    static constexpr uint32_t kEnd = 0xFFFFFFFF;

    struct Symbol {
        uint32_t symbol;  // kNoId once it was joined to its left neighbour
        uint32_t begin;   // first byte in the piece
        uint32_t previous;
        uint32_t next;  // index of the neighbour, or kEnd
    };
    struct Candidate {
        uint64_t order;  // rank, then the index of the left symbol
        const MergeEntry* merge;
        uint32_t left() const { return static_cast<uint32_t>(order); }
    };
    static bool comes_later(const Candidate& a, const Candidate& b) { return a.order > b.order; }

    bool encode_whole(std::string_view piece, std::vector<uint32_t>& out);
    bool find_candidate(uint32_t left);
    void consider(uint32_t left);
    void merge_all();
    void emit(std::string_view piece, std::vector<uint32_t>& out) const;

    VocabularyView vocabulary_;
    std::vector<Symbol> symbols_;
    std::vector<Candidate> heap_;
    std::string mapped_;
};

}  // namespace bitnetd::text
