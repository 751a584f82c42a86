#include "supervisor/frontend/api/url_text.h"

#include "supervisor/frontend/http/chars.h"

namespace bitnetd::frontend {

std::optional<std::string> percent_decode(std::string_view text) {
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            out += text[i];
            continue;
        }
        if (text.size() - i < 3) return std::nullopt;
        const int high = http::hex_value(text[i + 1]);
        const int low = http::hex_value(text[i + 2]);
        if (high < 0 || low < 0) return std::nullopt;
        out += static_cast<char>(high * 16 + low);
        i += 2;
    }
    return out;
}

std::optional<std::string> query_value(std::string_view query, std::string_view name) {
    while (!query.empty()) {
        const std::string_view pair = query.substr(0, query.find('&'));
        query.remove_prefix(std::min(pair.size() + 1, query.size()));
        const size_t equals = pair.find('=');
        if (equals != pair.npos && pair.substr(0, equals) == name) {
            return percent_decode(pair.substr(equals + 1));
        }
    }
    return std::nullopt;
}

}  // namespace bitnetd::frontend
