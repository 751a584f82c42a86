// Gives a loader the model that a command names: settings, then each file by its descriptor.
#pragma once

#include "shm/control/channel.h"
#include "supervisor/ctl/command_line.h"

namespace bitnetd::supervisor {

Result<void> send_model(shm::Channel& channel, const ModelCommand& command);

}  // namespace bitnetd::supervisor
