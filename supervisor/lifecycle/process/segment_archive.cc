#include "supervisor/lifecycle/process/segment_archive.h"

#include <fcntl.h>

namespace bitnetd::supervisor {

void SegmentArchive::keep(std::vector<InspectEntry> entries) {
    kept_.push_back(std::move(entries));
    if (kept_.size() > kArchivedIncarnationsMax) kept_.pop_front();
}

void SegmentArchive::list(std::vector<InspectEntry>& entries) const {
    for (const auto& incarnation : kept_) {
        for (const InspectEntry& entry : incarnation) {
            Fd copy(fcntl(entry.fd.get(), F_DUPFD_CLOEXEC, 0));
            if (copy) entries.push_back({entry.item, std::move(copy)});
        }
    }
}

}  // namespace bitnetd::supervisor
