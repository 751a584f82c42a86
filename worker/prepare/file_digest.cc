#include "worker/prepare/file_digest.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "common/base/check.h"

namespace bitnetd::worker {
namespace {

struct FreeState {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
};

}  // namespace

Result<void> digest_file(Source& source, uint8_t (&digest)[16],
                         const std::function<void(uint64_t bytes)>& progress) {
    constexpr uint64_t kPartBytes = 1u << 20;
    const std::unique_ptr<XXH3_state_t, FreeState> state(XXH3_createState());
    BITNETD_CHECK(state != nullptr);
    XXH3_128bits_reset(state.get());
    std::vector<std::byte> part;
    for (uint64_t at = 0; at < source.bytes(); at += part.size()) {
        part.resize(static_cast<size_t>(std::min(kPartBytes, source.bytes() - at)));
        BITNETD_TRY(source.read_at(at, part));
        XXH3_128bits_update(state.get(), part.data(), part.size());
        progress(part.size());
    }
    XXH3_128bits_update(state.get(), &kPackingId, sizeof kPackingId);
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state.get()));
    static_assert(sizeof canonical.digest == sizeof digest);
    std::memcpy(digest, canonical.digest, sizeof digest);
    return {};
}

}  // namespace bitnetd::worker
