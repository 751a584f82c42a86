#include "supervisor/ctl/terminal_screen.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>

#include "supervisor/ctl/top_view.h"

namespace bitnetd::supervisor {
namespace {

// Another screen and no cursor, from its top left corner on; and back again.
constexpr const char* kEnter = "\x1b[?1049h\x1b[?25l";
constexpr const char* kLeave = "\x1b[?25h\x1b[?1049l";
constexpr const char* kHome = "\x1b[H";
constexpr const char* kClearToLineEnd = "\x1b[K";
constexpr const char* kClearBelow = "\x1b[J";

}  // namespace

bool TerminalScreen::possible() {
    return isatty(STDOUT_FILENO) == 1 && isatty(STDIN_FILENO) == 1;
}

TerminalScreen::TerminalScreen() {
    if (tcgetattr(STDIN_FILENO, &before_) == 0) {
        termios raw = before_;
        raw.c_lflag &= static_cast<tcflag_t>(~(ICANON | ECHO));  // Ctrl-C stays a signal
        raw.c_cc[VMIN] = 0;
        raw.c_cc[VTIME] = 0;
        raw_ = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
    }
    std::fputs(kEnter, stdout);
}

TerminalScreen::~TerminalScreen() {
    std::fputs(kLeave, stdout);
    std::fflush(stdout);
    if (raw_) tcsetattr(STDIN_FILENO, TCSANOW, &before_);
}

void TerminalScreen::draw(const std::string& text) {
    winsize size{};
    const bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 1;
    const size_t rows = known ? size.ws_row - 1u : 23;  // the last line end would scroll
    const size_t columns = known && size.ws_col > 0 ? size.ws_col : 80;
    std::fputs(kHome, stdout);
    for (const char c : clipped(text, rows, columns)) {
        if (c == '\n') std::fputs(kClearToLineEnd, stdout);
        std::fputc(c, stdout);
    }
    std::fputs(kClearBelow, stdout);
    std::fflush(stdout);
}

bool TerminalScreen::pressed(char key) {
    bool found = false;
    char keys[64];
    pollfd ready{STDIN_FILENO, POLLIN, 0};
    while (poll(&ready, 1, 0) == 1) {
        const ssize_t got = read(STDIN_FILENO, keys, sizeof keys);
        if (got <= 0) break;
        for (ssize_t i = 0; i < got; ++i)
            found = found || keys[i] == key;
    }
    return found;
}

}  // namespace bitnetd::supervisor
