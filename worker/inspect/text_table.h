// A table for people: columns as wide as their widest cell, all but the last separated by two
// spaces, numbers to the right.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace bitnetd::worker {

class TextTable {
  public:
    // One letter per column: 'l' or 'r'.
    explicit TextTable(std::string_view alignment) : alignment_(alignment) {}

    // As many cells as there are columns.
    void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
    // Each row is `indent` spaces, the cells and a line end.
    std::string text(size_t indent) const;

  private:
    std::string alignment_;
    std::vector<std::vector<std::string>> rows_;
};

// "2.28 MB"; decimal units.
std::string bytes_text(uint64_t bytes);
// "5.25 M"
std::string count_text(uint64_t count);
// Four significant digits; a whole number whole.
std::string number_text(double number);

}  // namespace bitnetd::worker
