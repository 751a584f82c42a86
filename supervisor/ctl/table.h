// Text for people: tables of aligned columns, and quantities with few digits.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace bitnetd::supervisor {

class Table {
  public:
    enum class Align : uint8_t { kLeft, kRight };
    struct Column {
        std::string title;
        Align align = Align::kLeft;
    };
    explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

    // One cell per column. A cell is cut to 60 bytes in all columns but the last.
    void add(std::vector<std::string> cells);
    // A line of titles, then the rows; each ends with '\n'. Empty without rows.
    std::string text() const;

  private:
    std::vector<Column> columns_;
    std::vector<std::vector<std::string>> rows_;
};

std::string bytes_text(uint64_t bytes);        // "1.18 GB", "0"
std::string count_text(double count);          // "2.41 G", "812"
std::string span_text(uint64_t milliseconds);  // "0.31 s", "12 s", "4:07", "3d 04:12"
std::string percent_text(double share);        // "37 %"; of 0 .. 1

}  // namespace bitnetd::supervisor
