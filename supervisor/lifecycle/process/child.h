// One child process: its pid, its control channel, its phase. The same for frontends, workers and
// loaders, started by us or by a predecessor: it is watched by pidfd, not as the loop's own
// subprocess.
//
// What a child says is data to be checked. A message that makes no sense condemns the child; it
// never ends the supervisor.
#pragma once

#include <uv.h>

#include <memory>
#include <string>

#include "shm/control/channel.h"
#include "supervisor/lifecycle/process/child_exit.h"
#include "supervisor/lifecycle/process/child_life.h"
#include "supervisor/lifecycle/process/spawn.h"
#include "supervisor/lifecycle/uv_handles.h"

namespace bitnetd::supervisor {

class Child;

// Who watches over a child. Called from the loop.
class ChildOwner {
  public:
    // May condemn the child, must not destroy it.
    virtual void on_message(Child& child, shm::Message& message) = 0;
    // It is about to get SIGABRT or SIGKILL from us: fence it now, its exit may take a while.
    virtual void on_condemned(Child& child) = 0;
    // The process is gone and reaped; all that it said has been delivered. The owner may destroy
    // the child in here.
    virtual void on_exit(Child& child, const ChildExit& exit) = 0;

  protected:
    ~ChildOwner() = default;
};

// A process that runs already, and what its last supervisor knew of it (handover/snapshot.h).
struct Adoption {
    pid_t pid = -1;
    Fd pidfd;
    Fd control;  // the supervisor's end
    std::string name;
    uint64_t incarnation = 0;
    ChildPhase phase = ChildPhase::kStarting;
    uint64_t started_ns = 0;
    uint64_t deadline_ns = UINT64_MAX;
};

class Child {
  public:
    // `plan` without its control descriptor: start() makes the socketpair. `name` is for the log
    // ("worker/0"); `incarnation` tells the owner which child speaks.
    static Result<std::unique_ptr<Child>> start(uv_loop_t* loop, SpawnPlan plan, std::string name,
                                                uint64_t incarnation, const LifeLimits& limits,
                                                ChildOwner& owner);
    // Still our child (after an exec in place), or systemd's (after a restart): then how it ends
    // stays unknown. What it said meanwhile waits in its control socket. kInvalid when the
    // descriptors are not what they should be; the process is left as it is then.
    static Result<std::unique_ptr<Child>> adopt(uv_loop_t* loop, Adoption adoption,
                                                const LifeLimits& limits, ChildOwner& owner);
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    ~Child();

    const std::string& name() const { return name_; }
    uint64_t incarnation() const { return incarnation_; }
    pid_t pid() const { return process_.pid; }
    // For a successor; they stay ours.
    int pidfd() const { return process_.pidfd.get(); }
    int control_fd() const { return channel_.fd(); }
    ChildLife& life() { return life_; }
    const ChildLife& life() const { return life_; }

    // Never blocks. A child that does not read is condemned; one that is already gone is not told.
    template <typename T>
    void send(shm::MessageType type, const T& value, std::span<const int> fds = {}) {
        if (!released_) after_send(channel_.send(type, value, fds));
    }
    void send(shm::MessageType type);
    void send_fds(shm::MessageType type, std::span<const int> fds);
    void send_text(shm::MessageType type, std::string_view text);

    // Whether messages wait for a full socket: they would be lost with us.
    bool has_unsent() const { return channel_.wants_write(); }

    // The process is left to a successor: from now on this object does nothing, and its end kills
    // nobody. The owner hears no more of it.
    void release();

    // Logs what was wrong with a message (or with the channel) and condemns the child.
    void reject(const Error& error);

    // Sends the signal that is due. Called by the owner when a deadline passed, and after
    // condemning.
    void apply_signals(uint64_t now_ns);

  private:
    Child(uv_loop_t* loop, Spawned process, Fd control, std::string name, uint64_t incarnation,
          const ChildLife& life, ChildOwner& owner);
    void read_messages();
    void on_control_ready();
    void on_pidfd_ready();
    void after_send(const Result<void>& sent);

    Spawned process_;
    bool reaped_ = false;
    bool released_ = false;
    shm::Channel channel_;
    std::string name_;
    uint64_t incarnation_;
    ChildLife life_;
    ChildOwner& owner_;
    std::unique_ptr<Poller> control_poller_;  // null once the channel is closed or broken
    std::unique_ptr<Poller> exit_poller_;
};

}  // namespace bitnetd::supervisor
