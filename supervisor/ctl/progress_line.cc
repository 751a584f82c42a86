#include "supervisor/ctl/progress_line.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include "common/base/clock.h"

namespace bitnetd::supervisor {
namespace {

constexpr uint64_t kQuietNs = 500 * kNsPerMs;
constexpr uint64_t kRedrawNs = 100 * kNsPerMs;
constexpr uint64_t kLineNs = 5 * kNsPerS;
constexpr size_t kBarMin = 10;
constexpr size_t kBarMax = 40;

std::string rate_text(double bytes_per_s) {
    const char* const units[] = {"B/s", "kB/s", "MB/s", "GB/s"};
    size_t unit = 0;
    while (bytes_per_s >= 1000 && unit + 1 < std::size(units)) {
        bytes_per_s /= 1000;
        ++unit;
    }
    char text[32];
    std::snprintf(text, sizeof text, "%.3g %s", bytes_per_s, units[unit]);
    return text;
}

std::string time_text(double seconds) {
    const auto whole = static_cast<uint64_t>(std::min(seconds, 359'999.0) + 0.5);
    char text[32];
    if (whole >= 3600) {
        std::snprintf(text, sizeof text, "%u:%02u:%02u", static_cast<unsigned>(whole / 3600),
                      static_cast<unsigned>(whole / 60 % 60), static_cast<unsigned>(whole % 60));
    } else {
        std::snprintf(text, sizeof text, "%u:%02u", static_cast<unsigned>(whole / 60),
                      static_cast<unsigned>(whole % 60));
    }
    return text;
}

size_t terminal_columns(int fd) {
    if (isatty(fd) != 1) return 0;
    constexpr size_t kUsual = 80;
    winsize size{};
    if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kUsual;
    return size.ws_col;
}

}  // namespace

std::string progress_text(const Progress& progress, uint64_t elapsed_ns, size_t width) {
    const double share = std::min(
        1.0, static_cast<double>(progress.done_bytes) / static_cast<double>(progress.total_bytes));
    char percent[16];
    std::snprintf(percent, sizeof percent, " %3d %%", static_cast<int>(share * 100));
    const std::string head = std::string(progress.phase) + percent;
    std::string tail;
    const double seconds = static_cast<double>(elapsed_ns) / static_cast<double>(kNsPerS);
    if (progress.are_bytes && seconds > 0 && progress.done_bytes > 0) {
        tail = "  " + rate_text(static_cast<double>(progress.done_bytes) / seconds) + "  " +
               time_text(seconds * (1 - share) / share) + " left";
    }
    const size_t text = head.size() + tail.size() + 3;  // " [" and "]"
    if (width < text + kBarMin)
        return (head + tail).substr(0, width == 0 ? std::string::npos : width);
    const size_t bar = std::min(kBarMax, width - text);
    const auto filled = static_cast<size_t>(share * static_cast<double>(bar));
    return head + " [" + std::string(filled, '#') + std::string(bar - filled, ' ') + "]" + tail;
}

ProgressLine::ProgressLine(std::FILE* out, size_t columns, uint64_t now_ns)
    : out_(out), columns_(columns), started_ns_(now_ns), shown_ns_(now_ns) {}

ProgressLine ProgressLine::on_standard_error() {
    return {stderr, terminal_columns(STDERR_FILENO), monotonic_ns()};
}

void ProgressLine::show(const Progress& progress, uint64_t now_ns) {
    if (progress.phase != phase_) {
        phase_ = progress.phase;
        started_ns_ = now_ns;
    }
    const uint64_t interval_ns = columns_ == 0 ? kLineNs : drawn_ ? kRedrawNs : kQuietNs;
    if (now_ns - shown_ns_ < interval_ns) return;
    shown_ns_ = now_ns;
    if (columns_ == 0) {
        std::fprintf(out_, "%s\n", progress_text(progress, now_ns - started_ns_, 0).c_str());
        return;
    }
    // One column less: a full line would wrap. "\x1b[K" takes away what a longer line left.
    std::fprintf(out_, "\r%s\x1b[K",
                 progress_text(progress, now_ns - started_ns_, columns_ - 1).c_str());
    std::fflush(out_);
    drawn_ = true;
}

void ProgressLine::clear() {
    if (!drawn_) return;
    std::fputs("\r\x1b[K", out_);
    std::fflush(out_);
    drawn_ = false;
}

}  // namespace bitnetd::supervisor
