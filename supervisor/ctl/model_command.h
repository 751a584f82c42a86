// Runs one `bitnetctl model` command: opens what it names, has a loader do the work, prints.
#pragma once

#include "supervisor/ctl/command_line.h"

namespace bitnetd::supervisor {

// Its exit code: kExitOk, kExitFailed. Output on standard output, reasons on standard error. Does
// not return when a signal interrupted it.
int run_model_command(const ModelCommand& command);

}  // namespace bitnetd::supervisor
