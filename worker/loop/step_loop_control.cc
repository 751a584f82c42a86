// The part of the step loop that is not steps: control messages, sleeping and the end.
#include <poll.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/log/log.h"
#include "worker/loop/step_loop.h"

namespace bitnetd::worker {

ExitCode StepLoop::run() {
    while (!done_) {
        if (!turn() && !done_) sleep();
    }
    return exit_code_;
}

// Sleeps until a frontend rings, a control message comes, or a heartbeat is due. A frontend that
// makes room in its token ring does not ring for it, so while anything waits for that we look again
// after a short while.
void StepLoop::sleep() {
    constexpr int kFullRingRetryMs = 2;
    doorbell_.prepare_sleep();
    if (!has_requests(/*answerable=*/true)) {
        std::array<pollfd, 2> fds = {pollfd{doorbell_.fd(), POLLIN, 0},
                                     pollfd{control_.fd(), POLLIN, 0}};
        // The end of file of a lost supervisor stays readable: it has been seen, do not look again.
        const nfds_t count = orphaned_until_ns_ == 0 ? 2 : 1;
        const int beat_ms = static_cast<int>(settings_.heartbeat_interval_ms / 2 + 1);
        const int timeout_ms = waits_for_room() ? std::min(kFullRingRetryMs, beat_ms) : beat_ms;
        poll(fds.data(), count, timeout_ms);
        if ((fds[1].revents & ~POLLOUT) != 0) control_read_ns_ = 0;  // read it in the next turn
    }
    doorbell_.awake();
}

bool StepLoop::has_requests(bool answerable) {
    for (uint32_t index = 0; index < kPeersMax; ++index) {
        Peer* peer = peers_.at(index);
        if (peer == nullptr || peer->can_be_answered() != answerable) continue;
        if (peer->requests().has_records()) return true;
    }
    return false;
}

bool StepLoop::waits_for_room() {
    for (uint32_t slot = 0; slot < flights_.slots_max(); ++slot) {
        if (flights_[slot].has_unpublished()) return true;
    }
    return has_requests(/*answerable=*/false);
}

void StepLoop::read_control() {
    while (orphaned_until_ns_ == 0 && !done_) {
        auto message = control_.receive();
        if (!message.ok()) {
            if (message.error().code != ErrorCode::kUnavailable) {
                log::error("control_broken", {{"reason", message.error().message}});
                return end(kExitProtocol);
            }
            return become_orphan("supervisor is gone");
        }
        if (!message->has_value()) break;
        on_message(std::move(**message));
    }
    if (orphaned_until_ns_ == 0 && supervisor_.is_gone(monotonic_ns())) {
        become_orphan("no heartbeat of the supervisor");
    }
}

void StepLoop::become_orphan(const char* reason) {
    orphaned_until_ns_ = monotonic_ns() + settings_.drain_timeout_ms * kNsPerMs;
    drain(reason);
}

void StepLoop::on_message(shm::Message message) {
    switch (message.type) {
        case shm::MessageType::kPeer:
            return add_peer(std::move(message));
        case shm::MessageType::kPeerGone: {
            const auto gone = message.as<shm::PeerGoneMessage>();
            if (!gone.ok()) return end(kExitProtocol);
            if (const auto index = peers_.find(gone->incarnation)) drop_peer(*index);
            return;
        }
        case shm::MessageType::kKnownPeers:
            return keep_peers(message);
        case shm::MessageType::kBoard:  // the supervisor's
            if (message.fds.size() != 1 || !supervisor_.watch(message.fds[0].get()).ok()) {
                end(kExitProtocol);
            }
            return;
        case shm::MessageType::kLogLevel:
            if (!log::set_level(message.text())) end(kExitProtocol);
            return;
        case shm::MessageType::kReopenLogs:
            return reopen_logs(message);
        case shm::MessageType::kDrain:
            return drain("told to");
        default:
            log::error("control_message_unknown", {{"type", static_cast<int>(message.type)}});
            return end(kExitProtocol);
    }
}

void StepLoop::add_peer(shm::Message message) {
    const auto facts = message.as<shm::PeerMessage>();
    // After a supervisor's restart: its rings are in use.
    if (facts.ok() && peers_.find(facts->incarnation)) return;
    auto peer = Peer::open(std::move(message));
    if (!peer.ok()) {
        log::error("peer_refused", {{"reason", peer.error().message}});
        return end(kExitProtocol);
    }
    log::info("peer_added", {{"frontend", peer->slot()}, {"credits", peer->credits()}});
    if (const auto index = peers_.add(std::move(*peer)); !index.ok()) {
        log::error("peer_refused", {{"reason", index.error().message}});
        end(kExitProtocol);
    }
}

// After a supervisor's restart: frontends that are not listed died meanwhile.
void StepLoop::keep_peers(const shm::Message& message) {
    if (message.payload.size() % sizeof(uint64_t) != 0) return end(kExitProtocol);
    std::vector<uint64_t> known;
    for (size_t at = 0; at < message.payload.size(); at += sizeof(uint64_t))
        known.push_back(load<uint64_t>(message.payload.data() + at));
    for (uint32_t index = 0; index < kPeersMax; ++index) {
        const Peer* peer = peers_.at(index);
        if (peer == nullptr) continue;
        if (std::find(known.begin(), known.end(), peer->incarnation()) == known.end())
            drop_peer(index);
    }
}

// Its flights have nobody to go to: drop them, then unmap its rings.
void StepLoop::drop_peer(uint32_t index) {
    const Peer& peer = *peers_.at(index);
    uint32_t dropped = 0;
    for (uint32_t slot = 0; slot < flights_.slots_max(); ++slot) {
        if (flights_[slot].state == Flight::State::kFree || flights_[slot].peer != index) continue;
        flights_.free(slot);
        ++dropped;
    }
    log::write(peer.is_broken() ? log::Level::kWarn : log::Level::kInfo, "peer_dropped",
               {{"frontend", peer.slot()}, {"flights", dropped}, {"broken", peer.is_broken()}});
    peers_.remove(index);
}

// It lives and waits for its flights: the supervisor is told, or it would never hear of them.
void StepLoop::drop_broken_peer(uint32_t index) {
    const shm::IncarnationMessage broken{peers_.at(index)->incarnation()};
    drop_peer(index);
    if (const auto told = control_.send(shm::MessageType::kPeerBroken, broken); !told.ok()) {
        log::warn("supervisor_not_told", {{"reason", told.error().message}});
    }
}

void StepLoop::reopen_logs(const shm::Message& message) {
    if (message.fds.size() != 1) return end(kExitProtocol);
    if (const auto reopened = log::reopen(message.fds[0].get()); !reopened.ok()) {
        log::error("logs_not_reopened", {{"reason", reopened.error().message}});
        return;
    }
    log::info("logs_reopened");
}

void StepLoop::drain(const char* reason) {
    if (draining_) return;
    draining_ = true;
    intake_.drain();
    board_.set_state(shm::ProcessState::kDraining, monotonic_ns());
    log::info("worker_draining", {{"reason", reason}, {"flights", flights_.used()}});
}

void StepLoop::end(ExitCode code) {
    done_ = true;
    exit_code_ = code;
}

void StepLoop::check_end(uint64_t now_ns) {
    if (done_ || !draining_) return;
    const bool orphaned = orphaned_until_ns_ != 0;
    const bool out_of_time = orphaned && now_ns >= orphaned_until_ns_;
    if (flights_.used() > 0 && !out_of_time) return;
    board_.set_state(shm::ProcessState::kStopped, now_ns);
    end(orphaned ? kExitLostSupervisor : kExitOk);
}

}  // namespace bitnetd::worker
