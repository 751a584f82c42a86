#include "supervisor/lifecycle/process/child.h"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "common/base/clock.h"
#include "common/log/log.h"

namespace bitnetd::supervisor {
namespace {

// Messages taken from one child per turn of the loop: a chatty one cannot starve the others.
constexpr int kMessagesPerTurn = 64;

// The kernel says of a pidfd whose it is: -1 when that process was reaped.
Result<void> check_pidfd(int pidfd, pid_t pid, const std::string& name) {
    std::ifstream info("/proc/self/fdinfo/" + std::to_string(pidfd));
    std::string key;
    for (std::string line; std::getline(info, line);) {
        std::istringstream words(line);
        pid_t found = 0;
        if (!(words >> key >> found) || key != "Pid:") continue;
        if (found == pid || found == -1) return {};
        return invalid("adopt " + name + ": expected a pidfd of process " + std::to_string(pid) +
                       ", found one of " + std::to_string(found));
    }
    return invalid("adopt " + name + ": descriptor " + std::to_string(pidfd) + " is no pidfd");
}

Result<void> check_control(int socket, const std::string& name) {
    int type = 0;
    socklen_t bytes = sizeof type;
    if (getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &bytes) == 0 && type == SOCK_SEQPACKET) {
        return {};
    }
    return invalid("adopt " + name + ": descriptor " + std::to_string(socket) +
                   " is no control socket");
}

}  // namespace

Result<std::unique_ptr<Child>> Child::start(uv_loop_t* loop, SpawnPlan plan, std::string name,
                                            uint64_t incarnation, const LifeLimits& limits,
                                            ChildOwner& owner) {
    BITNETD_ASSIGN(auto ends, shm::Channel::make_pair());
    plan.control = ends.second.get();
    BITNETD_ASSIGN(Spawned process, spawn(plan));
    return std::unique_ptr<Child>(new Child(loop, std::move(process), std::move(ends.first),
                                            std::move(name), incarnation,
                                            ChildLife(limits, monotonic_ns()), owner));
}

Result<std::unique_ptr<Child>> Child::adopt(uv_loop_t* loop, Adoption adoption,
                                            const LifeLimits& limits, ChildOwner& owner) {
    BITNETD_TRY(check_pidfd(adoption.pidfd.get(), adoption.pid, adoption.name));
    BITNETD_TRY(check_control(adoption.control.get(), adoption.name));
    const ChildLife life(limits, monotonic_ns(), adoption.phase, adoption.started_ns,
                         adoption.deadline_ns);
    return std::unique_ptr<Child>(new Child(loop, {adoption.pid, std::move(adoption.pidfd)},
                                            std::move(adoption.control), std::move(adoption.name),
                                            adoption.incarnation, life, owner));
}

Child::Child(uv_loop_t* loop, Spawned process, Fd control, std::string name, uint64_t incarnation,
             const ChildLife& life, ChildOwner& owner)
    : process_(std::move(process)),
      channel_(std::move(control)),
      name_(std::move(name)),
      incarnation_(incarnation),
      life_(life),
      owner_(owner) {
    control_poller_ = std::make_unique<Poller>(loop, channel_.fd(), [this] { on_control_ready(); });
    exit_poller_ =
        std::make_unique<Poller>(loop, process_.pidfd.get(), [this] { on_pidfd_ready(); });
}

// A child object is destroyed after its process was reaped, or when the supervisor itself ends with
// an error: then nothing may be left behind.
Child::~Child() {
    exit_poller_.reset();
    control_poller_.reset();
    if (!reaped_ && !released_) kill_and_reap(process_.pidfd.get());
}

void Child::release() {
    exit_poller_.reset();
    control_poller_.reset();
    released_ = true;
}

void Child::send(shm::MessageType type) {
    if (!released_) after_send(channel_.send(type));
}

void Child::send_fds(shm::MessageType type, std::span<const int> fds) {
    if (!released_) after_send(channel_.send(type, std::span<const std::byte>(), fds));
}

void Child::send_text(shm::MessageType type, std::string_view text) {
    if (!released_) after_send(channel_.send_text(type, text));
}

void Child::after_send(const Result<void>& sent) {
    if (!sent.ok() && sent.error().code != ErrorCode::kUnavailable) {
        reject(sent.error());
        return;
    }
    if (control_poller_) control_poller_->also_writable(channel_.wants_write());
}

void Child::reject(const Error& error) {
    if (released_) return;
    if (life_.phase() != ChildPhase::kKilling) {
        log::error("child_rejected",
                   {{"child", name_}, {"pid", process_.pid}, {"error", error.message}});
    }
    control_poller_.reset();
    life_.condemn("protocol");
    apply_signals(monotonic_ns());
}

void Child::apply_signals(uint64_t now_ns) {
    const int number = life_.due_signal(now_ns);
    if (number == 0 || reaped_ || released_) return;
    owner_.on_condemned(*this);
    // ESRCH: it ended in the meantime, and the pidfd says so.
    syscall(SYS_pidfd_send_signal, process_.pidfd.get(), number, nullptr, 0);
}

void Child::on_control_ready() {
    after_send(channel_.flush());
    read_messages();
}

void Child::read_messages() {
    for (int taken = 0; control_poller_ && taken < kMessagesPerTurn; ++taken) {
        auto received = channel_.receive();
        if (!received.ok()) {
            if (received.error().code != ErrorCode::kUnavailable) {
                reject(received.error());
                return;
            }
            control_poller_.reset();
            life_.on_channel_closed(monotonic_ns());
            return;
        }
        if (!received->has_value()) return;
        owner_.on_message(*this, **received);
    }
}

void Child::on_pidfd_ready() {
    const auto exit = reap(process_.pidfd.get());
    if (!exit) return;
    reaped_ = true;
    exit_poller_.reset();
    // What it said before it died still counts, a loader's verdict above all.
    while (control_poller_) {
        auto received = channel_.receive();
        if (!received.ok() || !received->has_value()) break;
        owner_.on_message(*this, **received);
    }
    control_poller_.reset();
    owner_.on_exit(*this, *exit);  // destroys this object
}

}  // namespace bitnetd::supervisor
