// TerminalScreen: the whole terminal, drawn anew with each text, and single keys. What was there
// before comes back at the end.
#pragma once

#include <termios.h>

#include <string>

namespace bitnetd::supervisor {

class TerminalScreen {
  public:
    // Whether standard output and standard input are terminals.
    static bool possible();

    TerminalScreen();
    TerminalScreen(const TerminalScreen&) = delete;
    TerminalScreen& operator=(const TerminalScreen&) = delete;
    ~TerminalScreen();

    // What does not fit is left out.
    void draw(const std::string& text);
    // True when one of the keys that were pressed is `key`. Does not wait.
    bool pressed(char key);

  private:
    termios before_{};
    bool raw_ = false;
};

}  // namespace bitnetd::supervisor
