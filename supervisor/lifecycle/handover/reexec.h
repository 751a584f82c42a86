// USR2: this process goes on as another program, in place: the same pid, the children stay its
// children, and the descriptors that are named stay open (inherited.h finds them).
#pragma once

#include <string>
#include <vector>

#include "common/base/result.h"
#include "supervisor/lifecycle/handover/handover_list.h"

namespace bitnetd::supervisor {

struct ExecPlan {
    std::string path;               // as recorded at start: /proc/self/exe may be a deleted file
    std::vector<std::string> args;  // args[0] is the process's name in ps
    std::vector<NamedFd> fds;       // each number once
};

// Does not return when all goes well. Else everything is as before, and the error says what failed.
// Main thread only; the threads of the pool end with it. What was told to children is not flushed
// here: see Child::has_unsent().
//
// The new program begins with the signals of hold_signals() blocked and all others not: one that
// comes before its handlers are there would end it. It calls accept_signals() when they are.
Error exec_in_place(const ExecPlan& plan);

// HUP, INT, QUIT, TERM, USR1, USR2 wait from now on. First act of main(); and before the last turn
// of the loop before exec_in_place(), which then handles what came before.
void hold_signals();
// What waited is delivered now.
void accept_signals();

}  // namespace bitnetd::supervisor
