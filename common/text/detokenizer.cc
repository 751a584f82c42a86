#include "common/text/detokenizer.h"

#include "common/text/utf8.h"

namespace bitnetd::text {

namespace {

// Each maximal ill-formed subsequence becomes one U+FFFD.
void append_valid(std::string_view text, std::string& out) {
    for (size_t at = 0; at < text.size();) {
        const uint32_t bytes = decode_utf8(text, at).bytes;
        if (bytes > 0) {
            out.append(text, at, bytes);
            at += bytes;
        } else {
            out += kReplacement;
            at += ill_formed_bytes(text, at);
        }
    }
}

}  // namespace

std::string_view Detokenizer::bytes(uint32_t id) const {
    if (id >= vocabulary_.token_count()) return {};
    const TokenType type = vocabulary_.type(id);
    const bool silent = type == TokenType::kControl || type == TokenType::kUnknown;
    return silent && !options_.print_special ? std::string_view{} : vocabulary_.bytes(id);
}

void Detokenizer::push(uint32_t id, std::string& out) {
    std::string_view piece = bytes(id);
    if (piece.empty()) return;
    if (options_.strip_leading_space) {
        options_.strip_leading_space = false;
        if (piece.front() == ' ') piece.remove_prefix(1);
    }
    pending_ += piece;
    size_t complete = pending_.size();
    if (!ends_inside_character(pending_, complete)) complete = pending_.size();
    append_valid(std::string_view(pending_).substr(0, complete), out);
    pending_.erase(0, complete);
}

void Detokenizer::flush(std::string& out) {
    append_valid(pending_, out);
    pending_.clear();
}

}  // namespace bitnetd::text
