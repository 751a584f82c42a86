#include "supervisor/frontend/dispatch/quarantine.h"

#include <algorithm>

namespace bitnetd::frontend {

void Quarantine::add(const PromptDigest& digest, uint64_t now_ns) {
    std::erase_if(until_ns_, [now_ns](const auto& entry) { return entry.second <= now_ns; });
    if (until_ns_.size() >= kDigestsMax) {
        until_ns_.erase(
            std::min_element(until_ns_.begin(), until_ns_.end(),
                             [](const auto& a, const auto& b) { return a.second < b.second; }));
    }
    until_ns_[digest] = now_ns + kRefusedNs;
}

bool Quarantine::refuses(const PromptDigest& digest, uint64_t now_ns) {
    const auto found = until_ns_.find(digest);
    if (found == until_ns_.end()) return false;
    if (found->second > now_ns) return true;
    until_ns_.erase(found);
    return false;
}

}  // namespace bitnetd::frontend
