#include "common/text/special_tokens.h"

#include <algorithm>
#include <map>
#include <numeric>

namespace bitnetd::text {

SpecialTokens::SpecialTokens(const VocabularyView& vocabulary) : vocabulary_(vocabulary) {
    by_text_.resize(vocabulary_.specials().size());
    std::iota(by_text_.begin(), by_text_.end(), 0u);
    // Of equal texts the one that is cut first comes last: it is the one a look-up finds.
    std::sort(by_text_.begin(), by_text_.end(), [&](uint32_t a, uint32_t b) {
        const int order = text_of(a).compare(text_of(b));
        return order != 0 ? order < 0 : a > b;
    });
    shorter_.assign(by_text_.size(), kNone);
    std::vector<uint32_t> beginnings;  // of the text at hand, each a beginning of the next
    for (uint32_t i = 0; i < by_text_.size(); ++i) {
        const std::string_view text = text_of(by_text_[i]);
        Range& range = by_first_byte_[static_cast<uint8_t>(text[0])];
        if (range.end == 0) range.begin = i;
        range.end = i + 1;
        while (!beginnings.empty() && !text.starts_with(text_of(beginnings.back())))
            beginnings.pop_back();
        if (!beginnings.empty()) shorter_[by_text_[i]] = beginnings.back();
        beginnings.push_back(by_text_[i]);
    }
}

std::string_view SpecialTokens::text_of(uint32_t place) const {
    return vocabulary_.text(vocabulary_.specials()[place]);
}

// The longest special token that stands at `at`, or kNone. Walks down the sorted texts: all of
// [begin, end) agree with `text` at `at` in the first `depth` bytes.
uint32_t SpecialTokens::longest_at(std::string_view text, size_t at) const {
    uint32_t found = kNone;
    auto [begin, end] = by_first_byte_[static_cast<uint8_t>(text[at])];
    for (size_t depth = 1; begin < end; ++depth) {
        while (begin < end && text_of(by_text_[begin]).size() == depth)
            found = by_text_[begin++];  // shorter texts sort first
        if (at + depth >= text.size()) break;
        const auto wanted = static_cast<uint8_t>(text[at + depth]);
        const auto byte_of = [&](uint32_t place) {
            return static_cast<uint8_t>(text_of(place)[depth]);
        };
        const auto first = by_text_.begin();
        const auto low = std::lower_bound(first + begin, first + end, wanted,
                                          [&](uint32_t i, uint8_t b) { return byte_of(i) < b; });
        const auto high = std::upper_bound(low, first + end, wanted,
                                           [&](uint8_t b, uint32_t i) { return b < byte_of(i); });
        begin = static_cast<uint32_t>(low - first);
        end = static_cast<uint32_t>(high - first);
    }
    return found;
}

// `place`, or the next shorter special token at `at` that this request may cut out there.
uint32_t SpecialTokens::first_allowed(const Request& request, size_t at, uint32_t place) const {
    for (; place != kNone; place = shorter_[place]) {
        const uint32_t id = vocabulary_.specials()[place];
        if (vocabulary_.type(id) == TokenType::kUserDefined) break;
        if (!request.parse_special) continue;
        if (request.marks == nullptr) break;
        if (request.marks->trusted(at, at + text_of(place).size())) break;
    }
    return place;
}

// The special tokens to cut out, by position. Each position offers its longest token; when the end
// of that is taken by the time its turn comes, the next shorter one. What is taken already is never
// shorter than what asks for its place, so looking at both ends is enough.
std::vector<SpecialTokens::Match> SpecialTokens::cut(const Request& request) const {
    std::map<uint32_t, std::vector<size_t>> offers;  // by place: positions
    for (size_t at = 0; at < request.text.size(); ++at) {
        const uint32_t place = first_allowed(request, at, longest_at(request.text, at));
        if (place != kNone) offers[place].push_back(at);
    }
    std::vector<Match> matches;
    if (offers.empty()) return matches;
    std::vector<bool> taken(request.text.size(), false);
    for (; !offers.empty(); offers.erase(offers.begin())) {
        auto& [place, positions] = *offers.begin();
        std::sort(positions.begin(), positions.end());
        const size_t bytes = text_of(place).size();
        for (const size_t at : positions) {
            if (taken[at]) continue;
            if (taken[at + bytes - 1]) {
                const uint32_t next = first_allowed(request, at, shorter_[place]);
                if (next != kNone) offers[next].push_back(at);
                continue;
            }
            std::fill_n(taken.begin() + static_cast<ptrdiff_t>(at), bytes, true);
            matches.push_back({at, place});
        }
    }
    std::sort(matches.begin(), matches.end(),
              [](const Match& a, const Match& b) { return a.at < b.at; });
    return matches;
}

std::vector<Fragment> SpecialTokens::split(std::string_view text, bool parse_special,
                                           const MarkedText* marks) const {
    std::vector<Fragment> fragments;
    size_t done = 0;
    for (const Match& match : cut({text, parse_special, marks})) {
        if (match.at > done) fragments.push_back({text.substr(done, match.at - done), kNoId});
        const size_t bytes = text_of(match.place).size();
        fragments.push_back({text.substr(match.at, bytes), vocabulary_.specials()[match.place]});
        done = match.at + bytes;
    }
    if (done < text.size()) fragments.push_back({text.substr(done), kNoId});
    return fragments;
}

}  // namespace bitnetd::text
