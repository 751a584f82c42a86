#include "shm/segment/segment.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/interprocess/mapped_region.hpp>
#include <cerrno>
#include <new>
#include <string>
#include <utility>

#include "common/base/bytes.h"
#include "common/base/check.h"

namespace bitnetd::shm {
namespace ipc = boost::interprocess;
namespace {

// Linux 6.3; not in the headers of Debian 12. Older kernels answer EINVAL.
constexpr unsigned kNoExecSeal = 0x0008;

// What mapped_region wants to map from: anything with a mapping handle.
class Mappable {
  public:
    explicit Mappable(int fd) noexcept : handle_{fd, false} {}
    ipc::mapping_handle_t get_mapping_handle() const noexcept { return handle_; }

  private:
    ipc::mapping_handle_t handle_;
};

Result<uint64_t> file_bytes(int fd) {
    struct stat status {};
    if (fstat(fd, &status) != 0) return io_error("fstat of a segment", errno);
    if (status.st_size <= 0 || static_cast<uint64_t>(status.st_size) > kSegmentBytesMax) {
        return invalid("a segment has 1 to " + std::to_string(kSegmentBytesMax) + " bytes, found " +
                       std::to_string(status.st_size));
    }
    return static_cast<uint64_t>(status.st_size);
}

// Address space for `bytes` at a multiple of kHugePageBytes, reserved by an inaccessible mapping
// that mapped_region then replaces (MAP_FIXED). What was reserved around it is given back at once.
Result<void*> reserve_aligned(uint64_t bytes) {
    const uint64_t reserved_bytes = round_up(bytes, kHugePageBytes) + kHugePageBytes;
    void* reserved = mmap(nullptr, reserved_bytes, PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserved == MAP_FAILED) return io_error("reserve address space for a segment", errno);
    const auto begin = reinterpret_cast<uintptr_t>(reserved);
    const uint64_t before = round_up(begin, kHugePageBytes) - begin;
    const uint64_t kept = round_up(bytes, 4096);
    char* const aligned = static_cast<char*>(reserved) + before;
    if (before > 0) munmap(reserved, before);
    munmap(aligned + kept, reserved_bytes - before - kept);
    return static_cast<void*>(aligned);
}

}  // namespace

Segment::Segment() noexcept = default;
Segment::~Segment() = default;

Segment::Segment(Segment&& other) noexcept
    : region_(std::move(other.region_)),
      data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)),
      access_(other.access_) {}

Segment& Segment::operator=(Segment&& other) noexcept {
    if (this == &other) return *this;
    region_ = std::move(other.region_);
    data_ = std::exchange(other.data_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
    access_ = other.access_;
    return *this;
}

Segment::Segment(std::unique_ptr<ipc::mapped_region> region, Access access) noexcept
    : region_(std::move(region)),
      data_(static_cast<std::byte*>(region_->get_address())),
      bytes_(region_->get_size()),
      access_(access) {}

Result<Fd> Segment::create_memfd(const char* name, uint64_t bytes) {
    if (bytes == 0 || bytes > kSegmentBytesMax) {
        return invalid("a segment has 1 to " + std::to_string(kSegmentBytesMax) +
                       " bytes, asked for " + std::to_string(bytes));
    }
    constexpr unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    Fd fd(memfd_create(name, flags | kNoExecSeal));
    if (!fd && errno == EINVAL) fd = Fd(memfd_create(name, flags));
    if (!fd) return io_error("memfd_create", errno);
    if (ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0) {
        return io_error("size a segment to " + std::to_string(bytes) + " bytes", errno);
    }
    return fd;
}

Result<Segment> Segment::map(int fd, Access access) {
    return map_at(fd, access, false);
}
Result<Segment> Segment::map_aligned(int fd, Access access) {
    return map_at(fd, access, true);
}

Result<Segment> Segment::map_at(int fd, Access access, bool huge_aligned) {
    BITNETD_ASSIGN(const uint64_t bytes, file_bytes(fd));
    void* address = nullptr;
    if (huge_aligned) {
        BITNETD_ASSIGN(address, reserve_aligned(bytes));
    }
    try {
        auto region = std::make_unique<ipc::mapped_region>(
            Mappable(fd), access == Access::kRead ? ipc::read_only : ipc::read_write, 0, bytes,
            address, huge_aligned ? MAP_FIXED : ipc::default_map_options);
        // Prompts, weights and keys have no business in a core file. It cannot fail on a mapping of
        // ours.
        madvise(region->get_address(), bytes, MADV_DONTDUMP);
        return Segment(std::move(region), access);
    } catch (const ipc::interprocess_exception& failure) {
        const int error = failure.get_native_error();
        if (huge_aligned) munmap(address, round_up(bytes, 4096));
        return io_error("map a segment of " + std::to_string(bytes) + " bytes", error);
    } catch (const std::bad_alloc&) {
        if (huge_aligned) munmap(address, round_up(bytes, 4096));
        return Error{ErrorCode::kExhausted, "map a segment: out of memory"};
    }
}

std::byte* Segment::mutable_data() {
    BITNETD_CHECK(writable());
    return data_;
}

}  // namespace bitnetd::shm
