#include "worker/kv/kv_arena.h"

#include <algorithm>
#include <utility>

#include "common/base/bytes.h"

namespace bitnetd::worker {

Result<KvArena> KvArena::map(int fd, bool gather) {
    BITNETD_TRY(shm::check_size_sealed(fd));
    KvArena arena;
    BITNETD_ASSIGN(arena.segment_, shm::Segment::map_aligned(fd, shm::Access::kReadWrite));
    arena.is_reserved_ = shm::is_on_reserved_pages(fd);
    arena.gathers_ = gather && !arena.is_reserved_;
    return arena;
}

void KvArena::grow(uint64_t end) noexcept {
    if (!gathers_ || end <= grown_bytes_) return;
    const uint64_t wanted = std::min(round_up(end, shm::kHugePageBytes), segment_.bytes());
    const uint64_t asked = wanted - grown_bytes_;
    const uint64_t given = shm::collapse_huge(segment_.mutable_data() + grown_bytes_, asked);
    // A kernel that has none searches long for each: it is not asked again.
    if (given < asked / 2) gathers_ = false;
    grown_bytes_ = wanted;
}

}  // namespace bitnetd::worker
