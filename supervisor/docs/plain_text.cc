#include "supervisor/docs/plain_text.h"

#include <sstream>

namespace bitnetd::supervisor {

std::string wrapped(std::string_view text, size_t width, std::string_view prefix) {
    std::istringstream words{std::string(text)};
    std::string out, line, word;
    while (words >> word) {
        if (!line.empty() && prefix.size() + line.size() + 1 + word.size() > width) {
            out += std::string(prefix) + line + "\n";
            line.clear();
        }
        line += (line.empty() ? "" : " ") + word;
    }
    if (!line.empty()) out += std::string(prefix) + line + "\n";
    return out;
}

std::string joined(const std::vector<std::string>& parts, std::string_view separator) {
    std::string out;
    for (const std::string& part : parts)
        out += (out.empty() ? "" : std::string(separator)) + part;
    return out;
}

}  // namespace bitnetd::supervisor
