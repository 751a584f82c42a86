// Segments: memory that several processes share, as sealed memfds without a name in the file
// system.
//
// The supervisor makes them and passes descriptors over control sockets; children map what they are
// given. Whoever maps a segment checks its seals first when anybody but the supervisor could have
// resized it: a file that shrinks under a mapping is SIGBUS. segment.cc is the only code that
// includes Boost.Interprocess; its exceptions become a Result there. Mappings are never part of a
// core dump.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "common/base/fd.h"
#include "common/base/result.h"

namespace boost::interprocess {
class mapped_region;
}

namespace bitnetd::shm {

enum class Access : uint8_t { kRead, kReadWrite };

// Larger than any model; a descriptor that claims more is refused.
inline constexpr uint64_t kSegmentBytesMax = uint64_t{1} << 40;
inline constexpr uint64_t kHugePageBytes = uint64_t{2} << 20;

// One mapping. Movable; the address stays the same when it is moved, so that pointers into it (a
// RingReader's, a BoardView's) stay valid for as long as some Segment owns it.
class Segment {
  public:
    // A new memfd of `bytes` zero bytes, close-on-exec, not executable, sealable. `name` is only
    // shown in /proc/<pid>/maps. 1 .. kSegmentBytesMax bytes.
    static Result<Fd> create_memfd(const char* name, uint64_t bytes);

    // Maps all of `fd`, shared. The descriptor may be closed afterwards. kInvalid for an empty or
    // oversized file, kIo when the kernel refuses (a read-only descriptor with kReadWrite, no
    // memory).
    static Result<Segment> map(int fd, Access access);

    // The same at an address that is a multiple of kHugePageBytes: only there does a mapping keep
    // the huge pages that collapse_huge() made. For weights and KV arenas; costs address space, not
    // memory.
    static Result<Segment> map_aligned(int fd, Access access);

    Segment() noexcept;  // empty: bytes() == 0
    Segment(Segment&&) noexcept;
    Segment& operator=(Segment&&) noexcept;
    ~Segment();

    uint64_t bytes() const noexcept { return bytes_; }
    bool writable() const noexcept { return access_ == Access::kReadWrite; }
    const std::byte* data() const noexcept { return data_; }
    // Needs writable(): anything else is a bug and stops the process.
    std::byte* mutable_data();
    std::span<const std::byte> view() const noexcept { return {data_, bytes_}; }
    std::span<std::byte> mutable_view() { return {mutable_data(), bytes_}; }

    // The T at `offset`; null when it does not fit or is misaligned there, or when a T that is not
    // const is asked of a read-only mapping.
    template <typename T>
    T* as(uint64_t offset = 0) const noexcept {
        if (!std::is_const_v<T> && !writable()) return nullptr;
        if (offset > bytes_ || bytes_ - offset < sizeof(T) || offset % alignof(T) != 0)
            return nullptr;
        return reinterpret_cast<T*>(data_ + offset);
    }

  private:
    Segment(std::unique_ptr<boost::interprocess::mapped_region> region, Access access) noexcept;
    static Result<Segment> map_at(int fd, Access access, bool huge_aligned);

    std::unique_ptr<boost::interprocess::mapped_region> region_;
    std::byte* data_ = nullptr;
    uint64_t bytes_ = 0;
    Access access_ = Access::kRead;
};

// Rings, boards, KV arenas: the size is fixed for ever (SHRINK | GROW | SEAL), the contents are
// not.
Result<void> seal_size(int fd);

// Weights and vocabulary: nothing can change any more (WRITE as well). Every writable mapping must
// be gone, in all processes; the kernel says EBUSY while one exists.
Result<void> seal_weights(int fd);

// Whether the seals are there. Who takes a descriptor from a less trusted process asks before
// mapping.
Result<void> check_size_sealed(int fd);
Result<void> check_weights_sealed(int fd);

// A second descriptor of the same memory that cannot be mapped writable: what everyone but the
// writer gets. Opened through /proc/self/fd, so only a process that may still open files can do
// this.
Result<Fd> reopen_read_only(int fd);

// Asks the kernel to put [address, address + bytes) of a memfd on huge pages now (MADV_COLLAPSE,
// Linux 6.1; works where shmem_enabled is `never`). On a writable map_aligned() mapping, written or
// not; what was written stays. Cheapest before the first write: a tenth of the page faults that it
// saves. Best effort; returns the bytes it was accepted for. Any thread.
uint64_t collapse_huge(std::byte* address, uint64_t bytes) noexcept;

// Bytes of the mapping at `address` that are mapped by huge pages now, from /proc/self/smaps; 0
// when that cannot be read. For the log.
uint64_t huge_bytes(const std::byte* address);

// Maps what of the segment lies on huge pages now instead of when it is first read; the rest stays
// as it is. Returns huge_bytes().
uint64_t map_huge_now(const Segment& segment);

// A memfd for a KV arena. On huge pages that the administrator reserved (vm.nr_hugepages), if they
// are asked for and there are enough: these are then taken for as long as the memfd lives. Else
// like any other, and `is_reserved` says so.
struct Arena {
    Fd fd;
    bool is_reserved = false;
};
Result<Arena> create_arena(uint64_t bytes, bool reserved);

// Whether `fd` is such a memfd on reserved pages.
bool is_on_reserved_pages(int fd) noexcept;

}  // namespace bitnetd::shm
