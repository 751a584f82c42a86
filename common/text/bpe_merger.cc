#include "common/text/bpe_merger.h"

#include "common/text/byte_alphabet.h"
#include "common/text/utf8.h"

namespace bitnetd::text {

bool BpeMerger::encode_whole(std::string_view piece, std::vector<uint32_t>& out) {
    if (piece.size() > vocabulary_.longest_token_bytes()) return false;
    mapped_.clear();
    for (const char byte : piece)
        append_utf8(mapped_, byte_to_alphabet(static_cast<uint8_t>(byte)));
    const uint32_t id = vocabulary_.find(mapped_);
    if (id == kNoId) return false;
    out.push_back(id);
    return true;
}

void BpeMerger::encode(std::string_view piece, std::vector<uint32_t>& out) {
    if (vocabulary_.has(kIgnoreMerges) && encode_whole(piece, out)) return;
    const auto count = static_cast<uint32_t>(piece.size());
    symbols_.clear();
    queue_.clear();
    for (uint32_t i = 0; i < count; ++i) {
        const uint32_t symbol = vocabulary_.byte_symbol(static_cast<uint8_t>(piece[i]));
        symbols_.push_back({symbol, i == 0 ? kEnd : i - 1, i + 1 == count ? kEnd : i + 1,
                            MergeQueue::kNoOrder, kNoId});
    }
    for (uint32_t i = 0; i < count; ++i) {
        if (find_pair(i)) queue_.add(symbols_[i].rank, i);
    }
    queue_.start();
    for (MergeQueue::Entry best; queue_.pop(best);) {
        if (symbols_[best.left].rank == best.order) join(best.left);
    }
    emit(piece, out);
}

// Notes the pair that starts at `left`. False when it cannot be joined.
bool BpeMerger::find_pair(uint32_t left) {
    Symbol& symbol = symbols_[left];
    symbol.rank = MergeQueue::kNoOrder;
    if (symbol.next == kEnd) return false;
    const MergeEntry* merge = vocabulary_.find_merge(symbol.symbol, symbols_[symbol.next].symbol);
    if (merge == nullptr) return false;
    symbol.rank = merge->rank;
    symbol.merged = merge->merged;
    return true;
}

void BpeMerger::join(uint32_t index) {
    Symbol& left = symbols_[index];
    Symbol& right = symbols_[left.next];
    left.symbol = left.merged;
    left.next = right.next;
    right.rank = MergeQueue::kNoOrder;
    if (left.next != kEnd) symbols_[left.next].previous = index;
    if (find_pair(index)) queue_.push(left.rank, index);
    if (left.previous == kEnd) return;
    if (find_pair(left.previous)) queue_.push(symbols_[left.previous].rank, left.previous);
}

// A symbol that is no token becomes the tokens of its bytes; a byte without a token is dropped.
void BpeMerger::emit(std::string_view piece, std::vector<uint32_t>& out) const {
    const uint32_t tokens = vocabulary_.token_count();
    for (uint32_t i = symbols_.empty() ? kEnd : 0; i != kEnd; i = symbols_[i].next) {
        const Symbol& symbol = symbols_[i];
        if (symbol.symbol < tokens) {
            out.push_back(symbol.symbol);
            continue;
        }
        const size_t end = symbol.next == kEnd ? piece.size() : symbol.next;
        for (size_t at = i; at < end; ++at) {
            const uint32_t id = vocabulary_.byte_symbol(static_cast<uint8_t>(piece[at]));
            if (id < tokens) out.push_back(id);
        }
    }
}

}  // namespace bitnetd::text
