#include "supervisor/docs/man_page.h"

#include <algorithm>
#include <cctype>
#include <sstream>

namespace bitnetd::supervisor {
namespace {

// Within a line: a backslash begins an escape, and a bare '-' may become a typographic hyphen that
// nobody can paste into a shell.
std::string escaped(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c == '\\') {
            out += "\\e";
        } else if (c == '-') {
            out += "\\-";
        } else {
            out += c;
        }
    }
    return out;
}

// A line that begins with '.' or '\'' would be a request.
std::string line_of(std::string_view text) {
    const bool is_request = text.starts_with('.') || text.starts_with('\'');
    return (is_request ? "\\&" : "") + escaped(text) + "\n";
}

std::string lines_of(std::string_view text) {
    std::istringstream lines{std::string(text)};
    std::string out, line;
    while (std::getline(lines, line))
        out += line_of(line);
    return out;
}

// An argument of a macro: a '"' would end it.
std::string argument(std::string_view text) {
    std::string out;
    for (const char c : escaped(text))
        out += c == '"' ? std::string("\\(dq") : std::string(1, c);
    return "\"" + out + "\"";
}

}  // namespace

ManPage::ManPage(std::string_view name, int section, std::string_view summary) {
    std::string upper(name);
    std::transform(upper.begin(), upper.end(), upper.begin(),
                   [](unsigned char c) { return static_cast<char>(toupper(c)); });
    // No date: the same sources give the same page.
    text_ = ".TH " + argument(upper) + " " + std::to_string(section) +
            " \"\" \"bitnetd " BITNETD_VERSION "\" \"bitnetd\"\n";
    heading("NAME");
    text_ += escaped(name) + " \\- " + escaped(summary) + "\n";
}

void ManPage::heading(std::string_view title) {
    text_ += ".SH " + argument(title) + "\n";
}

void ManPage::subheading(std::string_view title) {
    text_ += ".SS " + argument(title) + "\n";
}

void ManPage::paragraph(std::string_view text) {
    text_ += ".PP\n" + lines_of(text);
}

void ManPage::verbatim(std::string_view text) {
    text_ += ".PP\n.RS 4\n.EX\n" + lines_of(text) + ".EE\n.RE\n";
}

void ManPage::command(std::string_view text) {
    const size_t end = std::min(text.find_first_of("[<"), text.size());
    text_ += ".PP\n.B " + argument(text.substr(0, end)) + "\n" + lines_of(text.substr(end));
}

void ManPage::item(std::string_view term, std::string_view meaning) {
    text_ += ".TP\n.B " + argument(term) + "\n" + lines_of(meaning);
}

}  // namespace bitnetd::supervisor
