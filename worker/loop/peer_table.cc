#include "worker/loop/peer_table.h"

#include <utility>

namespace bitnetd::worker {
namespace {

// The largest reply to a request.
constexpr uint64_t kReplyBytes = sizeof(shm::GiveBackRecord);
static_assert(sizeof(shm::FailedRecord) <= kReplyBytes);

}  // namespace

Result<Peer> Peer::open(shm::Message message) {
    BITNETD_ASSIGN(const auto facts, message.as<shm::PeerMessage>());
    BITNETD_TRY(message.expect_fds(4));
    auto& fds = message.fds;
    BITNETD_ASSIGN(auto request_segment, shm::Segment::map(fds[0].get(), shm::Access::kReadWrite));
    BITNETD_ASSIGN(auto requests, shm::RingReader::open(request_segment));
    BITNETD_ASSIGN(auto token_segment, shm::Segment::map(fds[1].get(), shm::Access::kReadWrite));
    BITNETD_ASSIGN(auto tokens, shm::RingWriter::open(token_segment));
    BITNETD_ASSIGN(auto board_segment, shm::Segment::map(fds[3].get(), shm::Access::kRead));
    BITNETD_ASSIGN(const auto board, shm::BoardView::open(board_segment));
    auto doorbell = shm::Doorbell::for_producer(std::move(fds[2]), board.sleeping());
    return Peer(facts, std::move(request_segment), std::move(requests), std::move(token_segment),
                std::move(tokens), std::move(board_segment), std::move(doorbell));
}

Peer::Peer(const shm::PeerMessage& facts, shm::Segment request_segment, shm::RingReader requests,
           shm::Segment token_segment, shm::RingWriter tokens, shm::Segment board_segment,
           shm::Doorbell doorbell)
    : facts_(facts),
      request_segment_(std::move(request_segment)),
      token_segment_(std::move(token_segment)),
      board_segment_(std::move(board_segment)),
      requests_(std::move(requests)),
      tokens_(std::move(tokens)),
      doorbell_(std::move(doorbell)) {}

bool Peer::publish(shm::RecordType type, std::span<const std::byte> head,
                   std::span<const std::byte> body) noexcept {
    if (!tokens_.try_publish(type, head, body)) return false;
    has_news_ = true;
    return true;
}

bool Peer::can_be_answered() noexcept {
    return tokens_.fits(kReplyBytes);
}

void Peer::ring_bell() noexcept {
    if (std::exchange(has_news_, false)) doorbell_.ring_if_sleeping();
}

Result<uint32_t> PeerTable::add(Peer peer) {
    for (uint32_t index = 0; index < peers_.size(); ++index) {
        if (peers_[index]) continue;
        peers_[index].emplace(std::move(peer));
        return index;
    }
    return Error{ErrorCode::kExhausted, "more than " + std::to_string(kPeersMax) + " frontends"};
}

std::optional<uint32_t> PeerTable::find(uint64_t incarnation) const {
    for (uint32_t index = 0; index < peers_.size(); ++index) {
        if (peers_[index] && peers_[index]->incarnation() == incarnation) return index;
    }
    return std::nullopt;
}

}  // namespace bitnetd::worker
