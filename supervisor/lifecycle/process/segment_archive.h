// The segments of the last few dead incarnations, kept for bitnet-shmdump: what a crashed worker
// was doing can be read after its successor already serves.
#pragma once

#include <deque>
#include <vector>

#include "supervisor/lifecycle/process/inspect_entry.h"

namespace bitnetd::supervisor {

inline constexpr size_t kArchivedIncarnationsMax = 4;

class SegmentArchive {
  public:
    // One dead incarnation's segments; the oldest one leaves.
    void keep(std::vector<InspectEntry> entries);
    // Duplicates of all kept descriptors, appended.
    void list(std::vector<InspectEntry>& entries) const;

  private:
    std::deque<std::vector<InspectEntry>> kept_;
};

}  // namespace bitnetd::supervisor
