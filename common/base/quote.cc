#include "common/base/quote.h"

namespace bitnetd {

std::string quote(std::string_view text) {
    constexpr size_t kShownMax = 64;
    std::string out = "'";
    for (const char c : text.substr(0, kShownMax))
        out += c >= ' ' && c <= '~' ? c : '?';
    out += text.size() > kShownMax ? "...'" : "'";
    return out;
}

}  // namespace bitnetd
