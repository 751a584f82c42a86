#include "shm/control/child_link.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "common/base/clock.h"

namespace bitnetd::shm {
namespace {

// A process started by hand has anything or nothing on descriptor 3.
Result<Fd> control_socket() {
    int type = 0;
    socklen_t length = sizeof type;
    if (getsockopt(kControlFd, SOL_SOCKET, SO_TYPE, &type, &length) != 0 ||
        type != SOCK_SEQPACKET) {
        return invalid(
            "descriptor 3 is no control socket: this program is started by bitnetd, not by hand");
    }
    fcntl(kControlFd, F_SETFD, FD_CLOEXEC);
    return Fd(kControlFd);
}

}  // namespace

Result<ChildLink> ChildLink::start(Role role, uint64_t timeout_ms) {
    BITNETD_ASSIGN(Fd socket, control_socket());
    return start(std::move(socket), role, timeout_ms);
}

Result<ChildLink> ChildLink::start(Fd socket, Role role, uint64_t timeout_ms) {
    ChildLink link(std::move(socket));
    if (auto taken = link.take_in(role, monotonic_ns() + timeout_ms * kNsPerMs); !taken.ok()) {
        return std::move(taken).error().within("start as " + std::string(to_string(role)));
    }
    return link;
}

Result<void> ChildLink::take_in(Role role, uint64_t deadline_ns) {
    bool has_settings = false;
    while (true) {
        BITNETD_ASSIGN(Message message, channel_.wait(deadline_ns));
        if (message.type == MessageType::kSelf) {
            BITNETD_TRY(take_self(std::move(message), role));
        } else if (message.type == MessageType::kSettings) {
            BITNETD_ASSIGN(params_, parse_settings(message.text()));
            has_settings = true;
        } else if (message.type == MessageType::kStart) {
            break;
        } else if (setup_.size() >= kSetupMessagesMax) {
            return invalid("more than " + std::to_string(kSetupMessagesMax) +
                           " messages before kStart");
        } else {
            setup_.push_back(std::move(message));
        }
    }
    if (!board_ || !has_settings) {
        return invalid(std::string("kStart came before ") + (board_ ? "kSettings" : "kSelf"));
    }
    return {};
}

// On the board from here on: should the rest of the start fail a check, its words are found there.
Result<void> ChildLink::take_self(Message message, Role role) {
    BITNETD_ASSIGN(self_, message.as<SelfMessage>());
    BITNETD_TRY(message.expect_fds(2));
    if (board_) return invalid("kSelf came twice");
    BITNETD_TRY(check_size_sealed(message.fds[0].get()));
    BITNETD_ASSIGN(board_segment_, Segment::map(message.fds[0].get(), Access::kReadWrite));
    BITNETD_ASSIGN(const BoardView view, BoardView::open(board_segment_));
    if (view.role() != role || view.slot() != self_.slot ||
        view.incarnation() != self_.incarnation) {
        return invalid("the board is that of " + std::string(to_string(view.role())) + "/" +
                       std::to_string(view.slot()) + " incarnation " +
                       std::to_string(view.incarnation()) + ", not of this process");
    }
    BITNETD_ASSIGN(BoardWriter board, BoardWriter::open(board_segment_));
    board_ = std::move(board);
    BITNETD_ASSIGN(ProcessUsage usage, ProcessUsage::open());
    board_->show_usage(std::move(usage));
    doorbell_.emplace(Doorbell::for_consumer(std::move(message.fds[1]), board_->sleeping()));
    const uint64_t now_ns = monotonic_ns();
    board_->use_for_last_words();
    board_->set_pid(static_cast<uint32_t>(getpid()));
    board_->set_started(now_ns);
    board_->heartbeat(now_ns);
    board_->set_state(ProcessState::kStarting, now_ns);
    return {};
}

std::vector<Message> ChildLink::take_setup() {
    return std::exchange(setup_, {});
}

Result<void> ChildLink::send_ready(const ReadyMessage& ready) {
    const uint64_t now_ns = monotonic_ns();
    board_->heartbeat(now_ns);
    // The board first: who hears the message finds it ready there.
    board_->set_state(ProcessState::kReady, now_ns);
    return channel_.send(MessageType::kReady, ready);
}

}  // namespace bitnetd::shm
