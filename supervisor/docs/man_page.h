// ManPage: a manual page in roff (the man macros), built from top to bottom. Texts are plain; what
// roff would take for a request or an escape is made harmless.
#pragma once

#include <string>
#include <string_view>

namespace bitnetd::supervisor {

class ManPage {
  public:
    // "bitnetd", 8, "inference server ...": the NAME section is written.
    ManPage(std::string_view name, int section, std::string_view summary);

    void heading(std::string_view title);     // "OPTIONS"
    void subheading(std::string_view title);  // as it stands
    void paragraph(std::string_view text);
    void verbatim(std::string_view text);  // lines as they are, in a fixed font
    void command(std::string_view text);   // a synopsis line: words in bold until the first [ or <
    // A term in bold and what it means, indented below it.
    void item(std::string_view term, std::string_view meaning);

    const std::string& text() const { return text_; }

  private:
    std::string text_;
};

}  // namespace bitnetd::supervisor
