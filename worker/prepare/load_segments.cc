#include "worker/prepare/load_segments.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "common/base/crash_point.h"
#include "common/log/log.h"
#include "shm/segment/segment.h"
#include "worker/prepare/accuracy_check.h"
#include "worker/prepare/prepare.h"

namespace bitnetd::worker {
namespace {

Result<void> set_size(int fd, uint64_t bytes) {
    if (ftruncate(fd, static_cast<off_t>(bytes)) != 0) return io_error("size a segment", errno);
    return {};
}

// The mapping is gone when this returns, as sealing needs it.
Result<shm::ModelFacts> fill_weights(const Preparation& preparation, const AccuracyOptions& options,
                                     int fd, const LoadProgress& progress) {
    BITNETD_TRY(set_size(fd, preparation.weights_bytes()));
    BITNETD_ASSIGN(auto segment, shm::Segment::map_aligned(fd, shm::Access::kReadWrite));
    const auto percent = [&](uint32_t done) { progress("pack", done); };
    BITNETD_TRY(preparation.pack(segment.mutable_view(), percent));
    const uint64_t huge = shm::collapse_huge(segment.mutable_data(), segment.bytes());
    log::info("weights_packed", {{"bytes", segment.bytes()}, {"huge_page_bytes", huge}});
    progress("check", 100);
    BITNETD_ASSIGN(const auto accuracy, check_packed(preparation, segment.view(), options));
    shm::ModelFacts facts = preparation.facts(segment.view());
    set_accuracy(facts, accuracy);
    return facts;
}

Result<void> fill_vocabulary(std::span<const std::byte> image, int fd) {
    BITNETD_TRY(set_size(fd, image.size()));
    BITNETD_ASSIGN(auto segment, shm::Segment::map(fd, shm::Access::kReadWrite));
    std::memcpy(segment.mutable_data(), image.data(), image.size());
    return {};
}

}  // namespace

Result<shm::ModelFacts> load_segments(std::vector<NamedSource> files, const PrepareOptions& options,
                                      int weights_fd, int vocabulary_fd,
                                      const LoadProgress& progress) {
    progress("validate", 0);
    BITNETD_ASSIGN(const auto preparation, Preparation::open(std::move(files), options));
    BITNETD_ASSIGN(const auto facts,
                   fill_weights(preparation, options.accuracy, weights_fd, progress));
    BITNETD_TRY(fill_vocabulary(preparation.vocabulary(), vocabulary_fd));
    progress("seal", 100);
    // CRASH(load.filled): complete but not sealed; whoever made the memfds throws them away.
    BITNETD_CRASH(load.filled);
    BITNETD_TRY(shm::seal_weights(weights_fd));
    // CRASH(load.weights_sealed): the vocabulary is not, so the pair is refused all the same.
    BITNETD_CRASH(load.weights_sealed);
    BITNETD_TRY(shm::seal_weights(vocabulary_fd));
    return facts;
}

}  // namespace bitnetd::worker
