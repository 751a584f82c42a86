#include "common/text/spm_merger.h"

#include <algorithm>
#include <bit>

namespace bitnetd::text {

namespace {

// A character's length by its first byte alone: other engines cut ill-formed text this way too, and
// for well-formed text it is right.
uint32_t announced_bytes(char first) {
    const auto byte = static_cast<unsigned char>(first);
    return byte < 0xC0 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

// A number that orders as the score does, reversed. Scores are finite; -0 counts as 0.
uint32_t falling(float score) {
    const auto bits = std::bit_cast<uint32_t>(score + 0.0f);
    const uint32_t rising = (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
    return ~rising;
}

}  // namespace

void SpmMerger::encode(std::string_view text, std::vector<uint32_t>& out) {
    symbols_.clear();
    queue_.clear();
    for (uint32_t at = 0; at < text.size();) {
        const uint32_t left = static_cast<uint32_t>(text.size()) - at;
        const uint32_t bytes = std::min(announced_bytes(text[at]), left);
        const auto index = static_cast<uint32_t>(symbols_.size());
        symbols_.push_back({at, bytes, index == 0 ? kEnd : index - 1, index + 1, kNoId,
                            MergeQueue::kNoOrder, kNoId});
        at += bytes;
    }
    if (symbols_.empty()) return;
    symbols_.back().next = kEnd;
    for (uint32_t i = 0; i < symbols_.size(); ++i) {
        if (find_pair(text, i)) queue_.add(symbols_[i].order, i);
    }
    queue_.start();
    for (MergeQueue::Entry best; queue_.pop(best);) {
        if (symbols_[best.left].order == best.order) join(text, best.left);
    }
    emit(text, out);
}

// Notes the pair that starts at `left`. False when its joined text is no token.
bool SpmMerger::find_pair(std::string_view text, uint32_t left) {
    Symbol& symbol = symbols_[left];
    symbol.order = MergeQueue::kNoOrder;
    if (symbol.next == kEnd) return false;
    const uint32_t bytes = symbol.bytes + symbols_[symbol.next].bytes;
    if (bytes > vocabulary_.longest_token_bytes()) return false;
    symbol.joined = vocabulary_.find(text.substr(symbol.begin, bytes));
    if (symbol.joined == kNoId) return false;
    symbol.order = falling(vocabulary_.score(symbol.joined));
    return true;
}

void SpmMerger::join(std::string_view text, uint32_t index) {
    Symbol& left = symbols_[index];
    Symbol& right = symbols_[left.next];
    left.bytes += right.bytes;
    left.id = left.joined;
    left.next = right.next;
    right.order = MergeQueue::kNoOrder;
    if (left.next != kEnd) symbols_[left.next].previous = index;
    if (find_pair(text, index)) queue_.push(left.order, index);
    if (left.previous == kEnd) return;
    if (find_pair(text, left.previous)) queue_.push(symbols_[left.previous].order, left.previous);
}

// A symbol that is no token becomes one byte token per byte, or the unknown id without byte tokens.
void SpmMerger::emit(std::string_view text, std::vector<uint32_t>& out) const {
    for (uint32_t i = 0; i != kEnd; i = symbols_[i].next) {
        const std::string_view symbol = text.substr(symbols_[i].begin, symbols_[i].bytes);
        const uint32_t id = symbols_[i].id != kNoId ? symbols_[i].id : vocabulary_.find(symbol);
        if (id != kNoId) {
            out.push_back(id);
            continue;
        }
        bool unknown = false;
        for (const char byte : symbol) {
            const uint32_t byte_id = vocabulary_.byte_symbol(static_cast<uint8_t>(byte));
            if (byte_id != kNoId)
                out.push_back(byte_id);
            else
                unknown = true;
        }
        if (unknown && vocabulary_.unknown()) out.push_back(*vocabulary_.unknown());
    }
}

}  // namespace bitnetd::text
