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
    heap_.clear();
    for (uint32_t at = 0; at < text.size();) {
        const uint32_t left = static_cast<uint32_t>(text.size()) - at;
        const uint32_t bytes = std::min(announced_bytes(text[at]), left);
        const auto index = static_cast<uint32_t>(symbols_.size());
        symbols_.push_back({at, bytes, index == 0 ? kEnd : index - 1, index + 1});
        at += bytes;
    }
    if (symbols_.empty()) return;
    symbols_.back().next = kEnd;
    for (uint32_t i = 0; i < symbols_.size(); ++i)
        find_candidate(text, i);
    std::make_heap(heap_.begin(), heap_.end(), comes_later);
    merge_all(text);
    emit(text, out);
}

// Appends the pair that starts at `left` if its joined text is a token.
bool SpmMerger::find_candidate(std::string_view text, uint32_t left) {
    const Symbol& symbol = symbols_[left];
    if (symbol.next == kEnd) return false;
    const uint32_t bytes = symbol.bytes + symbols_[symbol.next].bytes;
    if (bytes > vocabulary_.longest_token_bytes()) return false;
    const uint32_t id = vocabulary_.find(text.substr(symbol.begin, bytes));
    if (id == kNoId) return false;
    heap_.push_back({uint64_t{falling(vocabulary_.score(id))} << 32 | left, bytes});
    return true;
}

void SpmMerger::consider(std::string_view text, uint32_t left) {
    if (find_candidate(text, left)) std::push_heap(heap_.begin(), heap_.end(), comes_later);
}

void SpmMerger::merge_all(std::string_view text) {
    while (!heap_.empty()) {
        std::pop_heap(heap_.begin(), heap_.end(), comes_later);
        const Candidate best = heap_.back();
        heap_.pop_back();
        Symbol& left = symbols_[best.left()];
        if (left.bytes == 0 || left.next == kEnd) continue;
        Symbol& right = symbols_[left.next];
        if (left.bytes + right.bytes != best.bytes) continue;
        left.bytes = best.bytes;
        left.next = right.next;
        right.bytes = 0;
        if (left.next != kEnd) symbols_[left.next].previous = best.left();
        consider(text, best.left());
        if (left.previous != kEnd) consider(text, left.previous);
    }
}

// A symbol that is no token becomes one byte token per byte, or the unknown id without byte tokens.
void SpmMerger::emit(std::string_view text, std::vector<uint32_t>& out) const {
    for (uint32_t i = 0; i != kEnd; i = symbols_[i].next) {
        const std::string_view symbol = text.substr(symbols_[i].begin, symbols_[i].bytes);
        const uint32_t id = vocabulary_.find(symbol);
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
