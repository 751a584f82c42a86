#include "worker/inspect/text_table.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>

namespace bitnetd::worker {
namespace {

std::string print(const char* format, double number) {
    char text[48];
    std::snprintf(text, sizeof text, format, number);
    return text;
}

// The number below 1000 with the unit that makes it so.
std::string with_unit(uint64_t value, const std::array<const char*, 5>& units) {
    auto number = static_cast<double>(value);
    size_t unit = 0;
    constexpr double kRoundsUp = 999.5;  // would be printed as 1e+03
    while (number >= kRoundsUp && unit + 1 < units.size()) {
        number /= 1000;
        ++unit;
    }
    const std::string name = units[unit];
    return print("%.3g", number) + (name.empty() ? "" : " " + name);
}

}  // namespace

std::string TextTable::text(size_t indent) const {
    std::vector<size_t> widths(alignment_.size());
    for (const auto& row : rows_) {
        for (size_t i = 0; i < row.size(); ++i)
            widths[i] = std::max(widths[i], row[i].size());
    }
    std::string out;
    for (const auto& row : rows_) {
        std::string line(indent, ' ');
        for (size_t i = 0; i < row.size(); ++i) {
            const std::string gap(widths[i] - row[i].size(), ' ');
            line += i == 0 ? "" : "  ";
            line += alignment_[i] == 'r' ? gap + row[i] : row[i] + gap;
        }
        line.erase(line.find_last_not_of(' ') + 1);
        out += line + "\n";
    }
    return out;
}

std::string bytes_text(uint64_t bytes) {
    return with_unit(bytes, {"B", "kB", "MB", "GB", "TB"});
}

std::string count_text(uint64_t count) {
    return with_unit(count, {"", "K", "M", "B", "T"});
}

std::string number_text(double number) {
    constexpr double kWholeMax = 1e9;
    const bool whole = number == std::floor(number) && std::fabs(number) < kWholeMax;
    return print(whole ? "%.0f" : "%.4g", number);
}

}  // namespace bitnetd::worker
