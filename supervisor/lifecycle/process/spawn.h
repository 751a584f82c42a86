// Starts one child: fork, then execveat of an already opened program. Main thread only: the child
// asks the kernel for a signal when its parent *thread* ends.
//
// The child has descriptors 0 (/dev/null), 1 and 2 (our standard error) and 3 (its end of the
// control socket), nothing else; its own process group, so that Ctrl-C at a terminal reaches the
// supervisor alone; default signal dispositions and an empty signal mask; our environment.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "common/base/fd.h"
#include "common/base/result.h"

namespace bitnetd::supervisor {

struct SpawnPlan {
    int program = -1;               // O_PATH descriptor
    int control = -1;               // the child's end of the socketpair; stays ours to close
    std::vector<std::string> args;  // args[0] is the process's name in ps
    int parent_death_signal = 0;    // sent to the child when the supervisor dies
    int oom_score_adj = 0;          // higher is killed first when memory runs out
    int nice = 0;                   // added to ours; higher yields to others
    bool core_dumps = false;  // cores hold prompts and delay the reaping: off unless asked for
};

struct Spawned {
    pid_t pid = -1;
    Fd pidfd;
};

// Returns when the child runs its program; an error when it could not be started (nothing is left
// behind then).
Result<Spawned> spawn(const SpawnPlan& plan);

}  // namespace bitnetd::supervisor
