// What operators' tools may ask of the supervisor over the control socket (supervisor/control/),
// and how they hear the answer. Supervisor process, its loop.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "shm/abi/rollout_abi.h"
#include "supervisor/lifecycle/process/inspect_entry.h"

namespace bitnetd::supervisor {

// Where the answer to one command goes; may be kept after the call. Once the tool is gone, nothing
// happens any more and is_open() is false.
class CommandReply {
  public:
    virtual ~CommandReply() = default;
    virtual bool is_open() const = 0;
    // A text of any length.
    virtual void text(std::string_view text) = 0;
    // The last thing said. `text`: why it failed, or what was done.
    virtual void end(bool failed, std::string_view text) = 0;
};

class Operator {
  public:
    // Every segment, live and kept, for bitnet-shmdump.
    virtual std::vector<InspectEntry> inspect() const = 0;
    virtual void command(const shm::CommandMessage& command,
                         std::shared_ptr<CommandReply> reply) = 0;

  protected:
    ~Operator() = default;
};

}  // namespace bitnetd::supervisor
