#include "common/text/special_tokens.h"

#include <algorithm>
#include <numeric>

namespace bitnetd::text {

SpecialTokens::SpecialTokens(const VocabularyView& vocabulary) : vocabulary_(vocabulary) {
    const auto specials = vocabulary_.specials();
    by_text_.resize(specials.size());
    std::iota(by_text_.begin(), by_text_.end(), 0u);
    const auto text_of = [&](uint32_t index) { return vocabulary_.text(specials[index]); };
    std::sort(by_text_.begin(), by_text_.end(),
              [&](uint32_t a, uint32_t b) { return text_of(a) < text_of(b); });
    for (uint32_t i = 0; i < by_text_.size(); ++i) {
        Range& range = by_first_byte_[static_cast<uint8_t>(text_of(by_text_[i])[0])];
        if (range.end == 0) range.begin = i;
        range.end = i + 1;
    }
}

// Walks down the sorted texts: all of [begin, end) agree with `text` at `at` in the first `depth`
// bytes.
void SpecialTokens::mark_matches(std::string_view text, size_t at,
                                 std::vector<bool>& present) const {
    const auto specials = vocabulary_.specials();
    auto [begin, end] = by_first_byte_[static_cast<uint8_t>(text[at])];
    for (size_t depth = 1; begin < end; ++depth) {
        while (begin < end && vocabulary_.text(specials[by_text_[begin]]).size() == depth) {
            present[by_text_[begin++]] = true;  // shorter texts sort first
        }
        if (at + depth >= text.size()) return;
        const auto wanted = static_cast<uint8_t>(text[at + depth]);
        const auto byte_of = [&](uint32_t index) {
            return static_cast<uint8_t>(vocabulary_.text(specials[index])[depth]);
        };
        const auto first = by_text_.begin();
        const auto low = std::lower_bound(first + begin, first + end, wanted,
                                          [&](uint32_t i, uint8_t b) { return byte_of(i) < b; });
        const auto high = std::upper_bound(low, first + end, wanted,
                                           [&](uint8_t b, uint32_t i) { return b < byte_of(i); });
        begin = static_cast<uint32_t>(low - first);
        end = static_cast<uint32_t>(high - first);
    }
}

std::vector<uint32_t> SpecialTokens::occurring(std::string_view text) const {
    const auto specials = vocabulary_.specials();
    std::vector<bool> present(specials.size(), false);
    for (size_t at = 0; at < text.size(); ++at)
        mark_matches(text, at, present);
    std::vector<uint32_t> found;
    for (size_t i = 0; i < specials.size(); ++i) {
        if (present[i]) found.push_back(specials[i]);
    }
    return found;
}

std::vector<Fragment> SpecialTokens::split(std::string_view text, bool parse_special,
                                           const MarkedText* marks) const {
    std::vector<Fragment> fragments, next;
    if (!text.empty()) fragments.push_back({text, kNoId});
    for (const uint32_t id : occurring(text)) {
        const bool user_defined = vocabulary_.type(id) == TokenType::kUserDefined;
        if (!user_defined && !parse_special) continue;
        const std::string_view special = vocabulary_.text(id);
        const auto allowed = [&](std::string_view match) {
            if (user_defined || marks == nullptr) return true;
            const auto begin = static_cast<size_t>(match.data() - text.data());
            return marks->trusted(begin, begin + match.size());
        };
        next.clear();
        for (const Fragment& fragment : fragments) {
            size_t done = 0;
            size_t at = fragment.id == kNoId ? fragment.text.find(special) : std::string_view::npos;
            while (at != std::string_view::npos) {
                const std::string_view match = fragment.text.substr(at, special.size());
                if (allowed(match)) {
                    if (at > done) next.push_back({fragment.text.substr(done, at - done), kNoId});
                    next.push_back({match, id});
                    done = at + special.size();
                    at = fragment.text.find(special, done);
                } else {
                    at = fragment.text.find(special, at + 1);
                }
            }
            if (done == 0)
                next.push_back(fragment);
            else if (done < fragment.text.size())
                next.push_back({fragment.text.substr(done), kNoId});
        }
        fragments.swap(next);
    }
    return fragments;
}

}  // namespace bitnetd::text
