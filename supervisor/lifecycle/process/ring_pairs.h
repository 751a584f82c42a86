// The rings: one pair (requests, tokens) for each frontend incarnation and worker incarnation that
// know each other. A new incarnation gets new rings; nothing is ever repaired in place.
#pragma once

#include <cstdint>
#include <vector>

#include "supervisor/lifecycle/process/inspect_entry.h"
#include "supervisor/lifecycle/process/process.h"

namespace bitnetd::supervisor {

class RingPairs {
  public:
    RingPairs(uint64_t request_ring_bytes, uint64_t token_ring_bytes)
        : request_ring_bytes_(request_ring_bytes), token_ring_bytes_(token_ring_bytes) {}

    // Makes the rings and tells both (kPeer); the worker first, so that it knows the frontend whose
    // records it will find. `credits`: flights the frontend may have there at once.
    Result<void> connect(Process& frontend, Process& worker, uint32_t credits);

    // Takes out every pair of an incarnation that is gone: its rings, for the archive. The peer
    // that lives keeps its own mapping and reads to the end.
    std::vector<InspectEntry> disconnect(uint64_t incarnation);

    // Read-only descriptors of all pairs, appended.
    void list(std::vector<InspectEntry>& entries) const;

  private:
    struct Pair {
        uint64_t frontend_incarnation;
        uint64_t worker_incarnation;
        std::string name;  // "frontend/0 -> worker/1"
        Fd requests;
        Fd tokens;
    };
    static void append(const Pair& pair, uint64_t incarnation, bool alive,
                       std::vector<InspectEntry>& entries);

    uint64_t request_ring_bytes_;
    uint64_t token_ring_bytes_;
    std::vector<Pair> pairs_;
};

}  // namespace bitnetd::supervisor
