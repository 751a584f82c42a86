// Huge pages for weights and the KV cache: reading them at the speed of memory needs few TLB
// misses.
#include <linux/magic.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>

#include "common/base/bytes.h"
#include "shm/segment/segment.h"

namespace bitnetd::shm {
namespace {
constexpr int kMadvCollapse = 25;  // Linux 6.1; not in the headers of Debian 12
constexpr uint64_t kSmallPageBytes = 4096;

// Of smaps: transparent ones of a memfd, and reserved ones.
bool is_of_huge_pages(const std::string& line) {
    return line.starts_with("ShmemPmdMapped:") || line.starts_with("Shared_Hugetlb:") ||
           line.starts_with("Private_Hugetlb:");
}

// Mapping them sets them aside: they are there when they are written, or this fails.
Fd create_on_reserved_pages(uint64_t bytes) {
    Fd fd(memfd_create("bitnetd-kv", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB | MFD_HUGE_2MB));
    if (!fd || ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0) return {};
    void* const mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (mapped == MAP_FAILED) return {};
    munmap(mapped, bytes);
    return fd;
}

}  // namespace

uint64_t collapse_huge(std::byte* address, uint64_t bytes) noexcept {
    const auto begin = reinterpret_cast<uintptr_t>(address);
    const uint64_t skipped = round_up(begin, kHugePageBytes) - begin;
    uint64_t collapsed = 0;
    // Page by page, so that one that cannot be gathered (no free huge page) does not end it for the
    // rest. Nothing is gathered where nothing is: hence the first small page of each.
    for (uint64_t at = skipped; at + kHugePageBytes <= bytes; at += kHugePageBytes) {
        if (madvise(address + at, kSmallPageBytes, MADV_POPULATE_WRITE) != 0) continue;
        if (madvise(address + at, kHugePageBytes, kMadvCollapse) == 0) collapsed += kHugePageBytes;
    }
    return collapsed;
}

uint64_t huge_bytes(const std::byte* address) {
    // A mapping is a line "<begin>-<end> ...", then lines "Name:   N kB" until the next mapping.
    std::ifstream smaps("/proc/self/smaps");
    const auto wanted = reinterpret_cast<uintptr_t>(address);
    bool inside = false;
    uint64_t kib = 0;
    for (std::string line; std::getline(smaps, line);) {
        uintptr_t begin = 0, end = 0;
        if (std::sscanf(line.c_str(), "%zx-%zx ", &begin, &end) == 2) {
            if (inside) break;
            inside = begin <= wanted && wanted < end;
        } else if (inside && is_of_huge_pages(line)) {
            uint64_t part = 0;
            std::istringstream(line.substr(line.find(':') + 1)) >> part;
            kib += part;
        }
    }
    return kib * 1024;
}

uint64_t map_huge_now(const Segment& segment) {
    auto* const address = const_cast<std::byte*>(segment.data());
    const uint64_t first = std::min(segment.bytes(), kHugePageBytes);
    // Where the first page is a small one, mapping all of them would take long and gain little.
    if (madvise(address, first, MADV_POPULATE_READ) != 0 || huge_bytes(address) == 0) return 0;
    madvise(address, segment.bytes(), MADV_POPULATE_READ);
    return huge_bytes(address);
}

Result<Arena> create_arena(uint64_t bytes, bool reserved) {
    if (reserved) {
        Fd fd = create_on_reserved_pages(round_up(bytes, kHugePageBytes));
        if (fd) return Arena{std::move(fd), true};
    }
    BITNETD_ASSIGN(Fd fd, Segment::create_memfd("bitnetd-kv", bytes));
    return Arena{std::move(fd), false};
}

bool is_on_reserved_pages(int fd) noexcept {
    struct statfs file_system {};
    return fstatfs(fd, &file_system) == 0 && file_system.f_type == HUGETLBFS_MAGIC;
}

}  // namespace bitnetd::shm
