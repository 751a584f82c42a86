#include "worker/model/null_engine.h"

#include <algorithm>
#include <ctime>

namespace bitnetd::worker {

NullEngine::NullEngine(uint32_t vocab, uint32_t hidden, std::span<const uint32_t> end_ids,
                       uint64_t step_us)
    : hidden_(hidden), step_us_(step_us) {
    constexpr size_t kPrintable = 94;  // '!' .. '~': the first ids of the byte alphabet
    for (uint32_t id = 0; id < vocab && ids_.size() < kPrintable; ++id) {
        if (std::find(end_ids.begin(), end_ids.end(), id) == end_ids.end()) ids_.push_back(id);
    }
    if (ids_.empty()) ids_.push_back(0);  // nothing but end ids: any token ends at once
}

void NullEngine::step(std::span<const Row> rows, std::span<const Draw> draws) noexcept {
    if (step_us_ > 0) {
        const timespec pause{static_cast<time_t>(step_us_ / 1'000'000),
                             static_cast<long>(step_us_ % 1'000'000 * 1000)};
        clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, nullptr);
    }
    for (const Draw& draw : draws) {
        const uint32_t position = rows[draw.row].position + 1;
        draw.drawn->valid = true;
        draw.drawn->token = draw.is_score ? draw.known_token : ids_[position % ids_.size()];
        draw.drawn->scores.logprob = 0;
        draw.drawn->scores.alternatives_count = 0;
    }
}

}  // namespace bitnetd::worker
