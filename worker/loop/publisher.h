// The publisher: what a flight has due becomes records in its frontend's token ring, in order:
// kStarted, then what was wanted of the prompt (scores of earlier chunks come before kStarted),
// then tokens; kFailed or what ends the flight comes last. A record that does not fit stays due;
// the loop holds the flight and comes back. Loop thread only.
#pragma once

#include <cstdint>
#include <span>

#include "worker/loop/flight_table.h"
#include "worker/loop/peer_table.h"

namespace bitnetd::worker {

// How a generation ends with the token at `position`, if it does. The end of generation wins.
shm::Finish finish_of(const Flight& flight, uint32_t token, uint32_t position,
                      std::span<const uint32_t> end_ids) noexcept;

// Publishes what is due, as far as it fits; false when something is left.
bool publish_due(Flight& flight, Peer& peer, std::span<const uint32_t> end_ids) noexcept;

// Replies to a submission. The caller has made sure of Peer::can_be_answered().
void give_back(Peer& peer, uint64_t flight, uint32_t attempt, shm::GiveBackReason reason) noexcept;
void refuse(Peer& peer, uint64_t flight, uint32_t attempt, shm::FailureCode code) noexcept;

}  // namespace bitnetd::worker
