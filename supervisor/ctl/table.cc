#include "supervisor/ctl/table.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace bitnetd::supervisor {
namespace {

constexpr size_t kCellMax = 60;
constexpr size_t kGap = 2;

// Three digits and a unit of thousands.
std::string scaled(double value, const char* const (&units)[6]) {
    size_t unit = 0;
    while (value >= 999.5 && unit + 1 < std::size(units)) {
        value /= 1000;
        ++unit;
    }
    char text[48];
    const int digits = value >= 99.5 || unit == 0 ? 0 : value >= 9.95 ? 1 : 2;
    std::snprintf(text, sizeof text, "%.*f%s", digits, std::min(value, 1e15), units[unit]);
    return text;
}

}  // namespace

void Table::add(std::vector<std::string> cells) {
    cells.resize(columns_.size());
    for (size_t i = 0; i + 1 < cells.size(); ++i) {
        if (cells[i].size() > kCellMax) cells[i] = cells[i].substr(0, kCellMax - 3) + "...";
    }
    rows_.push_back(std::move(cells));
}

std::string Table::text() const {
    if (rows_.empty()) return {};
    std::vector<size_t> widths;
    for (const Column& column : columns_)
        widths.push_back(column.title.size());
    for (const auto& row : rows_) {
        for (size_t i = 0; i < row.size(); ++i)
            widths[i] = std::max(widths[i], row[i].size());
    }
    std::string out;
    const auto add_line = [&](const auto& cell_of) {
        std::string line;
        for (size_t i = 0; i < columns_.size(); ++i) {
            const std::string& cell = cell_of(i);
            const std::string padding(widths[i] - cell.size(), ' ');
            if (i > 0) line.append(kGap, ' ');
            line += columns_[i].align == Align::kRight ? padding + cell : cell + padding;
        }
        line.erase(line.find_last_not_of(' ') + 1);
        out += line + "\n";
    };
    add_line([&](size_t i) -> const std::string& { return columns_[i].title; });
    for (const auto& row : rows_)
        add_line([&](size_t i) -> const std::string& { return row[i]; });
    return out;
}

std::string bytes_text(uint64_t bytes) {
    if (bytes == 0) return "0";
    return scaled(static_cast<double>(bytes), {" B", " kB", " MB", " GB", " TB", " PB"});
}

std::string count_text(double count) {
    return scaled(count, {"", " k", " M", " G", " T", " P"});
}

std::string span_text(uint64_t milliseconds) {
    char text[48];
    const uint64_t seconds = milliseconds / 1000;
    const auto part = [](uint64_t value) { return static_cast<unsigned long long>(value); };
    if (milliseconds < 10'000) {
        std::snprintf(text, sizeof text, "%.2f s", static_cast<double>(milliseconds) / 1000);
    } else if (seconds < 100) {
        std::snprintf(text, sizeof text, "%llu s", part(seconds));
    } else if (seconds < 3600) {
        std::snprintf(text, sizeof text, "%llu:%02llu", part(seconds / 60), part(seconds % 60));
    } else if (seconds < 86'400) {
        std::snprintf(text, sizeof text, "%llu:%02llu:%02llu", part(seconds / 3600),
                      part(seconds / 60 % 60), part(seconds % 60));
    } else {
        std::snprintf(text, sizeof text, "%llud %02llu:%02llu", part(seconds / 86'400),
                      part(seconds / 3600 % 24), part(seconds / 60 % 60));
    }
    return text;
}

std::string percent_text(double share) {
    return std::to_string(std::llround(std::clamp(share, 0.0, 1e6) * 100)) + " %";
}

}  // namespace bitnetd::supervisor
