// Exit codes, one table for every process of bitnetd: the child sets one, the supervisor and the
// runbook read it. Codes below 10 are the operator's business, the rest tell the supervisor what
// happened to a child.
#pragma once

namespace bitnetd {

enum ExitCode : int {
    kExitOk = 0,
    kExitFailed = 1,           // bitnetctl: refused or failed; the message says what
    kExitUsage = 2,            // command line or configuration is wrong; the message says where
    kExitCannotListen = 3,     // an address is taken or not permitted
    kExitModelRefused = 4,     // the model file failed validation
    kExitNoMemory = 5,         // weights, KV cache or rings do not fit
    kExitInternal = 10,        // an unexpected error; last words say which
    kExitLostSupervisor = 11,  // the control socket closed: the supervisor is gone
    kExitProtocol = 12,        // a control message or shared segment was not as agreed
    kExitSelfCheck = 13,       // no kernel table gave the reference's bits
};

}  // namespace bitnetd
