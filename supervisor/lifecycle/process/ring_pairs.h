// The rings: one pair (requests, tokens) for each frontend incarnation and worker incarnation that
// know each other. A new incarnation gets new rings; nothing is ever repaired in place.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "supervisor/lifecycle/process/inspect_entry.h"
#include "supervisor/lifecycle/process/process.h"

namespace bitnetd::supervisor {

class RingPairs {
  public:
    struct Sizes {
        uint64_t request_ring_bytes;
        uint64_t token_ring_bytes;
    };
    // Makes the rings and tells both (kPeer); the worker first, so that it knows the frontend whose
    // records it will find. `credits`: flights the frontend may have there at once.
    // `before_telling` is called when the pair is in the list and nobody knows of it.
    Result<void> connect(Process& frontend, Process& worker, const Sizes& sizes, uint32_t credits,
                         const std::function<void()>& before_telling);
    bool knows(const Process& frontend, const Process& worker) const;
    // Tells both once more, for the case that a predecessor of this process had not.
    void tell_again(Process& frontend, Process& worker);

    // Takes out every pair of an incarnation that is gone: its rings, for the archive. The peer
    // that lives keeps its own mapping and reads to the end.
    std::vector<InspectEntry> disconnect(uint64_t incarnation);

    // Read-only descriptors of all pairs, appended.
    void list(std::vector<InspectEntry>& entries) const;

    struct Pair {
        uint64_t frontend_incarnation;
        uint64_t worker_incarnation;
        uint32_t credits;
        std::string name;  // "frontend/0 -> worker/1"
        Fd requests;
        Fd tokens;
    };
    const std::vector<Pair>& pairs() const { return pairs_; }
    // One that a predecessor of this process had made.
    void adopt(Pair pair) { pairs_.push_back(std::move(pair)); }

  private:
    static void append(const Pair& pair, uint64_t incarnation, bool alive,
                       std::vector<InspectEntry>& entries);

    std::vector<Pair> pairs_;
};

}  // namespace bitnetd::supervisor
