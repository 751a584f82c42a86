#include "worker/prepare/load_segments.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/crash_point.h"
#include "common/log/log.h"
#include "shm/segment/segment.h"
#include "worker/kernels/dispatch.h"
#include "worker/prepare/accuracy_check.h"
#include "worker/prepare/prepare.h"
#include "worker/prepare/tuning.h"
#include "worker/topology/parallel_for.h"

namespace bitnetd::worker {
namespace {

constexpr size_t kGatheredAtOnce = 16 * shm::kHugePageBytes;

Result<void> set_size(int fd, uint64_t bytes) {
    if (ftruncate(fd, static_cast<off_t>(bytes)) != 0) return io_error("size a segment", errno);
    return {};
}

// Gathers the memory into huge pages before it is written: that costs a tenth of the page faults it
// saves. Returns how much of it could be gathered.
uint64_t collapse_all(std::span<std::byte> memory, ThreadPool* pool, const PercentSink& percent) {
    const size_t pieces = memory.size() / kGatheredAtOnce + 1;
    std::atomic<uint64_t> gathered{0};
    ProgressMeter meter(pieces, percent);
    const auto gather = [&](size_t piece) -> Result<void> {
        const size_t begin = piece * kGatheredAtOnce;
        const auto part = memory.subspan(begin, std::min(kGatheredAtOnce, memory.size() - begin));
        gathered += shm::collapse_huge(part.data(), part.size());
        meter.add(1);
        return {};
    };
    const auto done = parallel_for(pool, pieces, gather);
    BITNETD_CHECK(done.ok());
    return gathered;
}

// The mapping is gone when this returns, as sealing needs it.
Result<shm::ModelFacts> fill_weights(const Preparation& preparation, const PrepareOptions& options,
                                     int fd, ThreadPool* pool, const LoadProgress& progress) {
    BITNETD_TRY(set_size(fd, preparation.weights_bytes()));
    BITNETD_ASSIGN(auto segment, shm::Segment::map_aligned(fd, shm::Access::kReadWrite));
    const uint64_t started_ns = monotonic_ns();
    const auto percent_of = [&](std::string_view phase) {
        return [&progress, phase](uint32_t percent) { progress(phase, percent); };
    };
    const uint64_t huge =
        options.huge_pages ? collapse_all(segment.mutable_view(), pool, percent_of("memory")) : 0;
    BITNETD_TRY(preparation.pack(segment.mutable_view(), percent_of("pack"), pool));
    log::info("weights_packed", {{"bytes", segment.bytes()},
                                 {"huge_page_bytes", huge},
                                 {"threads", pool == nullptr ? 1 : pool->threads()},
                                 {"ms", (monotonic_ns() - started_ns) / kNsPerMs}});
    progress("check", 0);
    AccuracyOptions judged = options.accuracy;
    judged.table = &kernels::select(judged.kernel_isa);
    BITNETD_ASSIGN(const auto accuracy,
                   check_packed(preparation, segment.view(), judged, pool, percent_of("check")));
    BITNETD_TRY(write_tuning(segment.mutable_view(), *judged.table));
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
                                      int weights_fd, int vocabulary_fd, ThreadPool* pool,
                                      const LoadProgress& progress) {
    progress("validate", 0);
    BITNETD_ASSIGN(const auto preparation, Preparation::open(std::move(files), options));
    BITNETD_ASSIGN(const auto facts,
                   fill_weights(preparation, options, weights_fd, pool, progress));
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
