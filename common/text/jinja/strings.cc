#include "common/text/jinja/strings.h"

#include <algorithm>
#include <cstring>

#include "common/text/utf8.h"

namespace bitnetd::text::jinja {

namespace {

// str.isspace(): Unicode white space and the four separators U+001C .. U+001F.
bool is_python_space(uint32_t c) {
    return is_space(c) || (c >= 0x1C && c <= 0x1F);
}

bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
char upper(char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}
char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

size_t previous_character(std::string_view text, size_t at) {
    for (size_t bytes = 4; bytes > 1; --bytes) {
        if (bytes <= at && next_character(text, at - bytes) == at) return at - bytes;
    }
    return at - 1;
}

bool strips(std::string_view character, const std::string_view* chars) {
    if (chars == nullptr) {
        const CodePoint c = decode_utf8(character, 0);
        return c.bytes > 0 && is_python_space(c.value);
    }
    for (size_t at = 0; at < chars->size();) {
        const size_t end = next_character(*chars, at);
        if (chars->substr(at, end - at) == character) return true;
        at = end;
    }
    return false;
}

}  // namespace

size_t next_character(std::string_view text, size_t at) {
    return at + std::max(decode_utf8(text, at).bytes, 1u);
}

size_t count_characters(std::string_view text) {
    size_t count = 0;
    for (size_t at = 0; at < text.size(); at = next_character(text, at))
        ++count;
    return count;
}

size_t character_offset(std::string_view text, size_t index) {
    size_t at = 0;
    for (; index > 0 && at < text.size(); --index)
        at = next_character(text, at);
    return at;
}

size_t find_text(std::string_view text, std::string_view wanted, size_t from) {
    if (wanted.size() == 1) return text.find(wanted[0], from);
    const void* at = memmem(text.data() + from, text.size() - from, wanted.data(), wanted.size());
    if (at == nullptr) return std::string_view::npos;
    return static_cast<size_t>(static_cast<const char*>(at) - text.data());
}

std::string hex(uint32_t value, int digits) {
    std::string out(static_cast<size_t>(digits), '0');
    for (size_t i = out.size(); i-- > 0; value >>= 4)
        out[i] = "0123456789abcdef"[value & 15];
    return out;
}

MarkedText strip(const MarkedText& text, const std::string_view* chars, StripSides sides) {
    const std::string_view s = text.str();
    size_t begin = 0;
    size_t end = s.size();
    while (sides.left && begin < end) {
        const size_t next = next_character(s, begin);
        if (!strips(s.substr(begin, next - begin), chars)) break;
        begin = next;
    }
    while (sides.right && begin < end) {
        const size_t last = previous_character(s.substr(0, end), end);
        if (!strips(s.substr(last, end - last), chars)) break;
        end = last;
    }
    return text.slice(begin, std::max(begin, end));
}

std::vector<MarkedText> split(const MarkedText& text, std::string_view separator,
                              size_t splits_max) {
    std::vector<MarkedText> parts;
    size_t done = 0;
    while (parts.size() < splits_max) {
        const size_t at = find_text(text.str(), separator, done);
        if (at == std::string::npos) break;
        parts.push_back(text.slice(done, at));
        done = at + separator.size();
    }
    parts.push_back(text.slice(done, text.size()));
    return parts;
}

std::vector<MarkedText> split_words(const MarkedText& text, size_t splits_max) {
    const std::string_view s = text.str();
    const auto is_space_at = [&](size_t at) { return is_python_space(decode_utf8(s, at).value); };
    std::vector<MarkedText> parts;
    for (size_t at = 0; at < s.size();) {
        if (is_space_at(at)) {
            at = next_character(s, at);
            continue;
        }
        size_t end = at;
        if (parts.size() == splits_max) {
            parts.push_back(text.slice(at, s.size()));
            break;
        }
        while (end < s.size() && !is_space_at(end))
            end = next_character(s, end);
        parts.push_back(text.slice(at, end));
        at = end;
    }
    return parts;
}

MarkedText replace(const MarkedText& text, std::string_view from, const MarkedText& to,
                   size_t count_max) {
    MarkedText out;
    size_t done = 0;
    for (size_t count = 0; count < count_max; ++count) {
        const size_t at = find_text(text.str(), from, done);
        if (at == std::string::npos) break;
        out.append(text, done, at);
        out.append(to);
        done = at + from.size();
    }
    out.append(text, done, text.size());
    return out;
}

MarkedText change_case(const MarkedText& text, Case to) {
    std::string changed = text.str();
    bool inside_word = false;
    for (size_t i = 0; i < changed.size(); ++i) {
        char& c = changed[i];
        const bool first = to == Case::kTitle ? !inside_word : i == 0;
        inside_word = is_letter(c) || static_cast<unsigned char>(c) >= 0x80;
        if (to == Case::kUpper || (to != Case::kLower && first))
            c = upper(c);
        else
            c = lower(c);
    }
    return text.with_bytes(changed);
}

}  // namespace bitnetd::text::jinja
