// Huge pages for weights: reading 2-bit weights at the speed of memory needs few TLB misses.
#include <sys/mman.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

#include "common/base/bytes.h"
#include "shm/segment/segment.h"

namespace bitnetd::shm {
namespace {
constexpr int kMadvCollapse = 25;  // Linux 6.1; not in the headers of Debian 12
}

uint64_t collapse_huge(std::byte* address, uint64_t bytes) noexcept {
    const auto begin = reinterpret_cast<uintptr_t>(address);
    const uint64_t skipped = round_up(begin, kHugePageBytes) - begin;
    uint64_t collapsed = 0;
    // Page by page, so that one that cannot be gathered (no free huge page) does not end it for the
    // rest.
    for (uint64_t at = skipped; at + kHugePageBytes <= bytes; at += kHugePageBytes) {
        if (madvise(address + at, kHugePageBytes, kMadvCollapse) == 0) collapsed += kHugePageBytes;
    }
    return collapsed;
}

uint64_t huge_bytes(const std::byte* address) {
    // A mapping is a line "<begin>-<end> ...", then lines "Name:   N kB" until the next mapping.
    std::ifstream smaps("/proc/self/smaps");
    const auto wanted = reinterpret_cast<uintptr_t>(address);
    bool inside = false;
    for (std::string line; std::getline(smaps, line);) {
        uintptr_t begin = 0, end = 0;
        if (std::sscanf(line.c_str(), "%zx-%zx ", &begin, &end) == 2) {
            inside = begin <= wanted && wanted < end;
        } else if (inside && line.starts_with("ShmemPmdMapped:")) {
            uint64_t kib = 0;
            std::istringstream(line.substr(line.find(':') + 1)) >> kib;
            return kib * 1024;
        }
    }
    return 0;
}

}  // namespace bitnetd::shm
