#include "common/config/param_origins.h"

#include <cctype>

namespace bitnetd {
namespace {

bool is_key_char(char c) {
    return islower(static_cast<unsigned char>(c)) || isdigit(static_cast<unsigned char>(c)) ||
           c == '_' || c == '.';
}

}  // namespace

void ParamOrigins::set(std::string_view section, std::string_view name, std::string place) {
    places_.insert_or_assign(std::string(section) + "." + std::string(name), std::move(place));
}

std::string_view ParamOrigins::of(std::string_view key) const {
    const auto found = places_.find(key);
    return found == places_.end() ? std::string_view() : found->second;
}

Error ParamOrigins::locate(Error error) const {
    const std::string_view message = error.message;
    for (size_t at = 0; at < message.size();) {
        size_t end = at;
        while (end < message.size() && is_key_char(message[end]))
            ++end;
        if (const auto place = of(message.substr(at, end - at)); !place.empty()) {
            return std::move(error).within(place);
        }
        at = end + 1;
    }
    return error;
}

}  // namespace bitnetd
