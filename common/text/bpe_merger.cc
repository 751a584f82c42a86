#include "common/text/bpe_merger.h"

#include <algorithm>

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
    heap_.clear();
    for (uint32_t i = 0; i < count; ++i) {
        const uint32_t symbol = vocabulary_.byte_symbol(static_cast<uint8_t>(piece[i]));
        symbols_.push_back({symbol, i, i == 0 ? kEnd : i - 1, i + 1 == count ? kEnd : i + 1});
    }
    for (uint32_t i = 0; i < count; ++i)
        find_candidate(i);
    std::make_heap(heap_.begin(), heap_.end(), comes_later);
    merge_all();
    emit(piece, out);
}

// Appends the pair that starts at `left` if it can be joined.
bool BpeMerger::find_candidate(uint32_t left) {
    const Symbol& symbol = symbols_[left];
    if (symbol.next == kEnd) return false;
    const MergeEntry* merge = vocabulary_.find_merge(symbol.symbol, symbols_[symbol.next].symbol);
    if (merge == nullptr) return false;
    heap_.push_back({uint64_t{merge->rank} << 32 | left, merge});
    return true;
}

void BpeMerger::consider(uint32_t left) {
    if (find_candidate(left)) std::push_heap(heap_.begin(), heap_.end(), comes_later);
}

void BpeMerger::merge_all() {
    while (!heap_.empty()) {
        std::pop_heap(heap_.begin(), heap_.end(), comes_later);
        const MergeEntry* merge = heap_.back().merge;
        const uint32_t index = heap_.back().left();
        heap_.pop_back();
        Symbol& left = symbols_[index];
        // Either side may have been joined to something else since this candidate was found.
        if (left.symbol != merge->left || left.next == kEnd) continue;
        Symbol& right = symbols_[left.next];
        if (right.symbol != merge->right) continue;
        left.symbol = merge->merged;
        left.next = right.next;
        right.symbol = kNoId;
        if (left.next != kEnd) symbols_[left.next].previous = index;
        consider(index);
        if (left.previous != kEnd) consider(left.previous);
    }
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
        const size_t end = symbol.next == kEnd ? piece.size() : symbols_[symbol.next].begin;
        for (size_t at = symbol.begin; at < end; ++at) {
            const uint32_t id = vocabulary_.byte_symbol(static_cast<uint8_t>(piece[at]));
            if (id < tokens) out.push_back(id);
        }
    }
}

}  // namespace bitnetd::text
