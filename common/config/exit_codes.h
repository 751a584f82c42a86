// Exit codes, one table for every process of bitnetd: the child sets one, the supervisor, the
// manual and the runbook read it. Codes below 10 are the operator's business, the rest tell the
// supervisor what happened to a child.
#pragma once

#include <string_view>

namespace bitnetd {

enum ExitCode : int {
    kExitOk = 0,
    kExitFailed = 1,
    kExitUsage = 2,
    kExitCannotListen = 3,
    kExitModelRefused = 4,
    kExitNoMemory = 5,
    kExitNoServer = 6,
    kExitInternal = 10,
    kExitLostSupervisor = 11,
    kExitProtocol = 12,
    kExitSelfCheck = 13,
    kExitDeviceLost = 14,
};

struct ExitCodeMeaning {
    ExitCode code;
    std::string_view meaning;
};
inline constexpr ExitCodeMeaning kExitCodes[] = {
    {kExitOk, "Done."},
    {kExitFailed, "Not done, refused or rolled back; the message says why."},
    {kExitUsage, "The command line or the configuration is wrong; the message says where."},
    {kExitCannotListen, "An address is taken or not permitted."},
    {kExitModelRefused, "The model file failed validation."},
    {kExitNoMemory, "Weights, KV cache or rings do not fit into memory."},
    {kExitNoServer, "No server answers at the control socket."},
    {kExitInternal, "An unexpected error; the last words in the log say which."},
    {kExitLostSupervisor, "A child's control socket closed: the supervisor is gone."},
    {kExitProtocol, "A control message or shared segment was not as agreed."},
    {kExitSelfCheck, "No kernel table gave the reference's bits."},
    {kExitDeviceLost, "The worker's GPU is gone, or does not answer."},
};

}  // namespace bitnetd
