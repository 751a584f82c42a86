// Byte-pair merging of one piece ("gpt2" vocabularies, tokenizers.md 3.3): the adjacent pair with
// the lowest rank, leftmost on ties, is joined until none is in the merge table. A heap over linked
// symbols: n log n in the bytes of the piece. Holds scratch memory: one per thread and call.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/text/merge_queue.h"
#include "common/text/vocabulary_image.h"

namespace bitnetd::text {

class BpeMerger {
  public:
    explicit BpeMerger(const VocabularyView& vocabulary) : vocabulary_(vocabulary) {}

    // Appends the token ids of `piece`, raw bytes of fewer than 2^31.
    void encode(std::string_view piece, std::vector<uint32_t>& out);

    // Pairs looked at so far, over all pieces.
    uint64_t work() const { return queue_.added(); }

  private:
    static constexpr uint32_t kEnd = 0xFFFFFFFF;

    struct Symbol {  // its index is that of its first byte in the piece
        uint32_t symbol;
        uint32_t previous;
        uint32_t next;    // index of the neighbour, or kEnd
        uint32_t rank;    // of the pair that starts here; kNoOrder when it cannot be joined, or
                          // when this symbol was joined to its left neighbour
        uint32_t merged;  // what that pair becomes
    };

    bool encode_whole(std::string_view piece, std::vector<uint32_t>& out);
    bool find_pair(uint32_t left);
    void join(uint32_t left);
    void emit(std::string_view piece, std::vector<uint32_t>& out) const;

    VocabularyView vocabulary_;
    std::vector<Symbol> symbols_;
    MergeQueue queue_;
    std::string mapped_;
};

}  // namespace bitnetd::text
