// Progress for a person: a bar that is redrawn where standard error is a terminal, now and then a
// line where it is not. Nothing is shown of work that is done within half a second.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace bitnetd::supervisor {

struct Progress {
    std::string_view phase;  // "convert"
    uint64_t done_bytes = 0;
    uint64_t total_bytes = 1;
    bool are_bytes = true;  // false: parts of the whole, whose speed tells nothing
};

// "convert  43 % [#########             ]  812 MB/s  0:12 left". `width` columns at most, 0: as
// wide as it is without the bar.
std::string progress_text(const Progress& progress, uint64_t elapsed_ns, size_t width);

class ProgressLine {
  public:
    // On `out`, which is a terminal of `columns` columns, or no terminal when 0.
    ProgressLine(std::FILE* out, size_t columns, uint64_t now_ns);
    // Standard error as it is.
    static ProgressLine on_standard_error();
    ProgressLine(const ProgressLine&) = delete;
    ProgressLine& operator=(const ProgressLine&) = delete;
    ~ProgressLine() { clear(); }

    void show(const Progress& progress, uint64_t now_ns);
    // Takes the bar away, before anything else is printed.
    void clear();

  private:
    std::FILE* out_;
    size_t columns_;
    uint64_t started_ns_;  // of the phase
    uint64_t shown_ns_;
    std::string phase_;
    bool drawn_ = false;
};

}  // namespace bitnetd::supervisor
