// One task of bitnetctl in the loader process: the model's files and a kTask message in, the output
// into the descriptor that came with it. worker/inspect looks into the model (info.h what it is,
// verify.h whether it is whole, text_tasks.h its tokenizer and template), worker/convert writes
// another one. Nothing here opens a file: the process is confined.
#pragma once

#include <vector>

#include "shm/control/channel.h"
#include "worker/inspect/task_io.h"
#include "worker/prepare/prepare.h"

namespace bitnetd::worker {

// Why a load or a task was refused. Models decide how long that gets; a message carries no more.
inline constexpr size_t kReasonBytesMax = 4096;
Result<void> send_reason(shm::Channel& channel, shm::MessageType type, const Error& error);

// True: it was done, and the verdict is no (the output says why). An error: there is no output.
Result<bool> run_task(const shm::Message& order, std::vector<NamedSource> files,
                      const PrepareOptions& options, const TaskProgress& progress);

// Does the task and answers on the channel: kTaskProgress..., then kTaskDone or kTaskFailed, which
// may still have to be flushed. The error is the one that was answered.
Result<void> serve_task(shm::Channel& channel, const shm::Message& order,
                        std::vector<NamedSource> files, const PrepareOptions& options);

}  // namespace bitnetd::worker
