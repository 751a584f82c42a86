// The frontends this worker serves: for each its two rings, its doorbell and its board. Slots are
// reused after a frontend is gone; whoever removes one has dropped its flights before. Loop thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "common/base/result.h"
#include "shm/abi/control_abi.h"
#include "shm/board/board.h"
#include "shm/control/channel.h"
#include "shm/ring/doorbell.h"
#include "shm/ring/ring_reader.h"
#include "shm/ring/ring_writer.h"

namespace bitnetd::worker {

// More frontends than cores make no sense; a supervisor that sends more is broken.
inline constexpr uint32_t kPeersMax = 64;

class Peer {
  public:
    // From a kPeer message: maps what its descriptors name.
    static Result<Peer> open(shm::Message message);

    uint64_t incarnation() const { return facts_.incarnation; }
    uint32_t slot() const { return facts_.slot; }
    // Flights it may have here at once.
    uint32_t credits() const { return facts_.credits; }
    shm::RingReader& requests() { return requests_; }

    // Publishes one record for it; false when its ring is full. ring_bell() wakes it afterwards.
    bool publish(shm::RecordType type, std::span<const std::byte> head,
                 std::span<const std::byte> body = {}) noexcept;
    // Of one record, head and body.
    size_t payload_bytes_max() const noexcept { return tokens_.max_payload_bytes(); }
    // Whether a reply to a request could be published now. As long as not, its requests wait.
    bool can_be_answered() noexcept;
    // Wakes the frontend if anything was published since the last call.
    void ring_bell() noexcept;
    bool is_broken() const { return requests_.retired() || tokens_.retired(); }

  private:
    Peer(const shm::PeerMessage& facts, shm::Segment request_segment, shm::RingReader requests,
         shm::Segment token_segment, shm::RingWriter tokens, shm::Segment board_segment,
         shm::Doorbell doorbell);

    shm::PeerMessage facts_;
    shm::Segment request_segment_, token_segment_, board_segment_;  // outlive what points into them
    shm::RingReader requests_;
    shm::RingWriter tokens_;
    shm::Doorbell doorbell_;
    bool has_news_ = false;
};

class PeerTable {
  public:
    // The index of the new peer; kExhausted when the table is full.
    Result<uint32_t> add(Peer peer);
    std::optional<uint32_t> find(uint64_t incarnation) const;
    void remove(uint32_t index) { peers_[index].reset(); }

    // Null where there is none.
    Peer* at(uint32_t index) { return peers_[index] ? &*peers_[index] : nullptr; }

  private:
    std::array<std::optional<Peer>, kPeersMax> peers_;
};

}  // namespace bitnetd::worker
