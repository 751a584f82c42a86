#include "supervisor/lifecycle/process/ring_pairs.h"

#include <algorithm>

#include "shm/ring/ring.h"
#include "shm/segment/segment.h"

namespace bitnetd::supervisor {
namespace {

Result<Fd> make_ring(const char* name, uint64_t capacity_bytes, uint64_t consumer,
                     uint64_t producer) {
    BITNETD_ASSIGN(Fd fd,
                   shm::Segment::create_memfd(name, shm::ring_segment_bytes(capacity_bytes)));
    BITNETD_TRY(shm::seal_size(fd.get()));
    BITNETD_ASSIGN(shm::Segment segment, shm::Segment::map(fd.get(), shm::Access::kReadWrite));
    BITNETD_TRY(shm::init_ring(segment, consumer, producer));
    return fd;
}

void tell(Process& to, const Process& peer, const Process& worker, const RingPairs::Pair& pair) {
    shm::PeerMessage message{};
    message.incarnation = peer.incarnation;
    message.model_key = worker.model_key;
    message.slot = peer.slot;
    message.credits = pair.credits;
    message.is_canary = worker.is_canary ? 1 : 0;
    shm::set_field(message.device, worker.device);
    shm::set_field(message.kernel_isa, worker.kernel_isa);
    const int fds[] = {pair.requests.get(), pair.tokens.get(), peer.doorbell.get(),
                       peer.board.read_only.get()};
    to.child->send(shm::MessageType::kPeer, message, fds);
}

void tell_both(Process& frontend, Process& worker, const RingPairs::Pair& pair) {
    tell(worker, frontend, worker, pair);
    tell(frontend, worker, worker, pair);
}

}  // namespace

Result<void> RingPairs::connect(Process& frontend, Process& worker, const Sizes& sizes,
                                uint32_t credits, const std::function<void()>& before_telling) {
    Pair pair{frontend.incarnation,
              worker.incarnation,
              credits,
              frontend.child->name() + " -> " + worker.child->name(),
              Fd(),
              Fd()};
    BITNETD_ASSIGN(pair.requests, make_ring("bitnetd-requests", sizes.request_ring_bytes,
                                            worker.incarnation, frontend.incarnation));
    BITNETD_ASSIGN(pair.tokens, make_ring("bitnetd-tokens", sizes.token_ring_bytes,
                                          frontend.incarnation, worker.incarnation));
    pairs_.push_back(std::move(pair));
    before_telling();
    tell_both(frontend, worker, pairs_.back());
    return {};
}

bool RingPairs::knows(const Process& frontend, const Process& worker) const {
    return std::any_of(pairs_.begin(), pairs_.end(), [&](const Pair& pair) {
        return pair.frontend_incarnation == frontend.incarnation &&
               pair.worker_incarnation == worker.incarnation;
    });
}

void RingPairs::tell_again(Process& frontend, Process& worker) {
    for (const Pair& pair : pairs_) {
        if (pair.frontend_incarnation == frontend.incarnation &&
            pair.worker_incarnation == worker.incarnation) {
            tell_both(frontend, worker, pair);
        }
    }
}

std::vector<InspectEntry> RingPairs::disconnect(uint64_t incarnation) {
    std::vector<InspectEntry> entries;
    for (const Pair& pair : pairs_) {
        if (pair.frontend_incarnation == incarnation || pair.worker_incarnation == incarnation) {
            append(pair, incarnation, false, entries);
        }
    }
    std::erase_if(pairs_, [&](const Pair& pair) {
        return pair.frontend_incarnation == incarnation || pair.worker_incarnation == incarnation;
    });
    return entries;
}

void RingPairs::list(std::vector<InspectEntry>& entries) const {
    for (const Pair& pair : pairs_)
        append(pair, pair.worker_incarnation, true, entries);
}

// A ring that cannot be reopened (no descriptors left) is missing from the list, nothing worse.
void RingPairs::append(const Pair& pair, uint64_t incarnation, bool alive,
                       std::vector<InspectEntry>& entries) {
    if (auto requests = shm::reopen_read_only(pair.requests.get()); requests.ok()) {
        entries.push_back(
            {inspect_item(incarnation, InspectKind::kRequestRing, alive, pair.name + " requests"),
             std::move(*requests)});
    }
    if (auto tokens = shm::reopen_read_only(pair.tokens.get()); tokens.ok()) {
        entries.push_back(
            {inspect_item(incarnation, InspectKind::kTokenRing, alive, pair.name + " tokens"),
             std::move(*tokens)});
    }
}

}  // namespace bitnetd::supervisor
