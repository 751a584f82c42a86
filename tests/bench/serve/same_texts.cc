#include "tests/bench/serve/same_texts.h"

#include <algorithm>

namespace bitnetd::bench {

void SameTexts::compare(uint64_t number, std::string_view text) {
    std::optional<std::string>& first = first_[number];
    if (!first) {
        first = text;
        return;
    }
    ++compared_;
    if (*first == text) return;
    if (++differences_ > 1) return;
    constexpr size_t kShown = 60;
    const auto at = static_cast<size_t>(
        std::mismatch(first->begin(), first->end(), text.begin(), text.end()).first -
        first->begin());
    first_difference_ = "request " + std::to_string(number) + ", from byte " + std::to_string(at) +
                        ": first \"" + first->substr(at, kShown) + "\", later \"" +
                        std::string(text.substr(at, kShown)) + "\"";
}

}  // namespace bitnetd::bench
