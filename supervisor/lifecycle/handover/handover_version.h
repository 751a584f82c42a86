// Whether this build can take over from another one, in place or after its death: both must mean
// the same by everything that outlives the exchange. That is the control protocol and the boards,
// rings and weights of the processes that run on, and the snapshot itself.
#pragma once

#include <string>
#include <string_view>

namespace bitnetd::supervisor {

// "5.3.1.2.4.1": the versions of control, board, ring, record and weights ABI and of the snapshot.
std::string handover_version();

// `bitnetd --check-handover ASKED`: the exit code. Not ours: the reason, a line on standard error.
int answer_handover_check(std::string_view asked);

}  // namespace bitnetd::supervisor
