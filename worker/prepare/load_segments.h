// The loader's whole job on descriptors: the files of a model become a sealed weights segment and a
// sealed vocabulary segment. Loader process, and tests that need real segments.
// If we die anywhere before the seals are set, the memfds are unsealed and nobody maps them.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "shm/abi/control_abi.h"
#include "worker/prepare/prepare.h"

namespace bitnetd::worker {

// Phases "validate", "memory", "pack" and "check" (with percent), and "seal".
using LoadProgress = std::function<void(std::string_view phase, uint32_t percent)>;

// pool: its threads do the work; null: the calling thread alone. files: as open_model() takes them.
// weights_fd and vocabulary_fd: empty memfds, writable, sealable; when this succeeds both are full
// and can never change again. The descriptors stay the caller's.
Result<shm::ModelFacts> load_segments(std::vector<NamedSource> files, const PrepareOptions& options,
                                      int weights_fd, int vocabulary_fd, ThreadPool* pool,
                                      const LoadProgress& progress);

}  // namespace bitnetd::worker
