// Digests of prompts that were in flight in three worker deaths: refused for ten minutes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>

#include "common/base/clock.h"
#include "supervisor/frontend/dispatch/flight.h"

namespace bitnetd::frontend {

class Quarantine {
  public:
    static constexpr uint64_t kRefusedNs = 600 * kNsPerS;
    static constexpr size_t kDigestsMax = 4096;

    // Beyond kDigestsMax the one that expires first makes room.
    void add(const PromptDigest& digest, uint64_t now_ns);
    bool refuses(const PromptDigest& digest, uint64_t now_ns);

  private:
    std::map<PromptDigest, uint64_t> until_ns_;
};

}  // namespace bitnetd::frontend
