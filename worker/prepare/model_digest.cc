#include "worker/prepare/model_digest.h"

#include <xxhash.h>

#include <cstring>
#include <memory>

#include "common/base/check.h"

namespace bitnetd::worker {
namespace {

struct FreeState {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
};

}  // namespace

Result<void> digest_model(ModelInput& input, uint8_t (&digest)[16],
                          const std::function<void(uint64_t bytes)>& progress) {
    const std::unique_ptr<XXH3_state_t, FreeState> state(XXH3_createState());
    BITNETD_CHECK(state != nullptr);
    XXH3_128bits_reset(state.get());
    BITNETD_TRY(input.read_all([&](std::span<const std::byte> part) {
        XXH3_128bits_update(state.get(), part.data(), part.size());
        progress(part.size());
    }));
    XXH3_128bits_update(state.get(), &kPackingId, sizeof kPackingId);
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state.get()));
    static_assert(sizeof canonical.digest == sizeof digest);
    std::memcpy(digest, canonical.digest, sizeof digest);
    return {};
}

}  // namespace bitnetd::worker
