#include "common/base/crash_point.h"

#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>

namespace bitnetd {
namespace {

struct Armed {
    std::string label;  // empty: not armed
    uint64_t pass = 0;  // dies when this many more passes have been made
};

Armed from_environment() {
    const char* text = std::getenv("BITNETD_CRASH_AT");
    if (text == nullptr) return {};
    const char* colon = std::strchr(text, ':');
    if (colon == nullptr) return {text, 1};
    return {std::string(text, colon), std::strtoull(colon + 1, nullptr, 10)};
}

Armed& armed() {
    static Armed instance = from_environment();
    return instance;
}

}  // namespace

void crash_at(const char* label, uint64_t pass) noexcept {
    armed() = label == nullptr ? Armed{} : Armed{label, pass};
}

void crash_point(const char* label) noexcept {
    Armed& it = armed();
    if (it.label.empty() || it.label != label || it.pass == 0) return;
    if (--it.pass == 0) kill(getpid(), SIGKILL);
}

}  // namespace bitnetd
