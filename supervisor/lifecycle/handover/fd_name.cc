#include "supervisor/lifecycle/handover/fd_name.h"

#include <algorithm>

#include "common/base/quote.h"

namespace bitnetd::supervisor {
namespace {

bool is_name_byte(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
}

std::string numbered(char kind, uint64_t number, std::string_view what) {
    return kind + std::to_string(number) + "." + std::string(what);
}

}  // namespace

Result<void> check_fd_name(std::string_view name) {
    if (name.empty() || name.size() > kFdNameBytesMax) {
        return invalid("name of a descriptor " + quote(name) + ": expected 1 to " +
                       std::to_string(kFdNameBytesMax) + " bytes, found " +
                       std::to_string(name.size()));
    }
    if (!std::all_of(name.begin(), name.end(), is_name_byte)) {
        return invalid("name of a descriptor " + quote(name) +
                       ": expected letters, digits, '.', '-' and '_' only");
    }
    return {};
}

namespace fd_name {

constexpr std::string_view kListener = "listen";

std::string listener(uint32_t number) {
    return std::string(kListener) + std::to_string(number);
}

bool is_listener(std::string_view name) {
    return name.starts_with(kListener);
}

std::string model(uint64_t model_key, std::string_view what) {
    return numbered('m', model_key, what);
}

std::string process(uint64_t incarnation, std::string_view what) {
    return numbered('p', incarnation, what);
}

std::string kv_arena(uint32_t slot) {
    return "kv" + std::to_string(slot);
}

std::string ring(uint64_t frontend, uint64_t worker, std::string_view what) {
    return "r" + std::to_string(frontend) + "-" + std::to_string(worker) + "." + std::string(what);
}

}  // namespace fd_name
}  // namespace bitnetd::supervisor
