// The intake: request records become flights. A frontend may be an older build, dying or hostile,
// so every size, count, id and float is checked here, once, and nothing behind it checks again. A
// record makes at most one reply; a frontend whose token ring has no room for one is not read. Loop
// thread.
#pragma once

#include <cstdint>
#include <span>

#include "worker/loop/flight_table.h"
#include "worker/loop/peer_table.h"

namespace bitnetd::worker {

// Requests read from one frontend in one turn: a flood of cancellations must not keep us from a
// step.
inline constexpr uint32_t kRequestsPerTurn = 256;

class Intake {
  public:
    struct Limits {
        uint32_t vocab;
        uint32_t context_max;
        shm::Pooling pooling;
        uint32_t hidden;
    };

    Intake(FlightTable& flights, const Scheduler& scheduler, const Limits& limits);

    // From now on every submission is given back.
    void drain() { draining_ = true; }

    // Reads what a frontend has sent. An error means that its ring is broken: drop the frontend.
    Result<size_t> take(uint32_t peer_index, Peer& peer);

  private:
    void on_record(uint32_t peer_index, Peer& peer, shm::RecordType type,
                   std::span<const std::byte> payload);
    void on_submit(uint32_t peer_index, Peer& peer, std::span<const std::byte> payload);
    void on_more(uint32_t peer_index, Peer& peer, std::span<const std::byte> payload);
    void on_bias(uint32_t peer_index, Peer& peer, std::span<const std::byte> payload);
    void on_cancel(uint32_t peer_index, std::span<const std::byte> payload);

    void want_results(PromptResults& results, uint32_t flags) const;
    bool append_ids(uint32_t slot, std::span<const std::byte> ids);
    bool append_biases(uint32_t slot, std::span<const std::byte> entries);
    // After ids or biases arrived: schedules a complete flight, refuses one that is inconsistent.
    void go_on(uint32_t slot, Peer& peer, bool consistent);

    FlightTable& flights_;
    const Scheduler& scheduler_;
    const Limits limits_;
    bool draining_ = false;
};

}  // namespace bitnetd::worker
