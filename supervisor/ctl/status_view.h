// The server's status for people: the answer to Command::kStatus as tables.
#pragma once

#include <string>

#include "supervisor/ctl/answer_json.h"

namespace bitnetd::supervisor {

// "bitnetd 0.1.0, pid 812, up 3d 04:12, serving", and why it is not well where it is not.
std::string server_text(const Json& status);
std::string models_text(const Json& status);

// `bitnetctl status`, `bitnetctl model status`.
std::string status_text(const Json& status);
std::string model_status_text(const Json& status);

// What is out of the ordinary about a process: "canary", "breaker open, restarts in 30 s".
std::string process_notes(const Json& process);

}  // namespace bitnetd::supervisor
