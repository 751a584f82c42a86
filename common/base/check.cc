#include "common/base/check.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace bitnetd {
namespace {
char* g_area = nullptr;
size_t g_area_bytes = 0;
}  // namespace

void set_last_words(char* area, size_t bytes) noexcept {
    g_area = area;
    g_area_bytes = bytes;
}

void say_last_words(const char* text) noexcept {
    if (g_area == nullptr || g_area_bytes == 0) return;
    const size_t length = strnlen(text, g_area_bytes - 1);
    std::memcpy(g_area, text, length);
    g_area[length] = '\0';
}

void check_failed(const char* condition, const char* file, int line) noexcept {
    char text[400];
    const int length =
        std::snprintf(text, sizeof text, "check failed: %s at %s:%d\n", condition, file, line);
    say_last_words(text);
    if (length > 0) {
        [[maybe_unused]] const ssize_t written =
            write(STDERR_FILENO, text, static_cast<size_t>(length));
    }
    std::abort();
}

}  // namespace bitnetd
