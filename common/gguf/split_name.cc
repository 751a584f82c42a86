#include "common/gguf/split_name.h"

#include <cstdio>

namespace bitnetd::gguf {
namespace {

constexpr size_t kDigits = 5;
constexpr std::string_view kOf = "-of-";
constexpr std::string_view kExtension = ".gguf";

// Takes "NNNNN" off the end of `name`.
std::optional<uint32_t> take_number(std::string_view& name) {
    if (name.size() < kDigits) return std::nullopt;
    uint32_t number = 0;
    for (const char digit : name.substr(name.size() - kDigits)) {
        if (digit < '0' || digit > '9') return std::nullopt;
        number = number * 10 + static_cast<uint32_t>(digit - '0');
    }
    name.remove_suffix(kDigits);
    return number;
}

bool take_suffix(std::string_view& name, std::string_view suffix) {
    if (!name.ends_with(suffix)) return false;
    name.remove_suffix(suffix.size());
    return true;
}

}  // namespace

std::optional<SplitName> parse_split_name(std::string_view name) {
    if (!take_suffix(name, kExtension)) return std::nullopt;
    const auto count = take_number(name);
    if (!count || !take_suffix(name, kOf)) return std::nullopt;
    const auto number = take_number(name);
    if (!number || !take_suffix(name, "-") || name.empty()) return std::nullopt;
    if (*number == 0 || *number > *count) return std::nullopt;
    return SplitName{std::string(name), *number, *count};
}

std::string part_name(std::string_view prefix, uint32_t number, uint32_t count) {
    char suffix[40];
    std::snprintf(suffix, sizeof suffix, "-%05u-of-%05u", number, count);
    return std::string(prefix) + suffix + std::string(kExtension);
}

}  // namespace bitnetd::gguf
