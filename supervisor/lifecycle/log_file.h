// The file that standard error was when this process started, if it was one: what a rotation moves
// away and USR1 opens anew.
#pragma once

#include <string>

#include "common/base/fd.h"
#include "common/base/result.h"

namespace bitnetd::supervisor {

class LogFile {
  public:
    // Remembers the name; before anyone can have moved the file.
    static LogFile of_standard_error();

    // A new descriptor of the file of that name, which is made when it is not there, and log lines
    // go there from now on. kUnsupported when standard error was no file: a terminal, the journal.
    Result<Fd> reopen() const;

  private:
    std::string path_;  // empty: no file
};

}  // namespace bitnetd::supervisor
