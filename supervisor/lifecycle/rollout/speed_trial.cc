#include "supervisor/lifecycle/rollout/speed_trial.h"

#include "common/base/clock.h"
#include "supervisor/lifecycle/settings/worker_devices.h"

namespace bitnetd::supervisor {
namespace {

// Less decides nothing: the first steps of a process touch memory that nobody touched before, and
// one slow step of either side would do.
constexpr uint64_t kStepsMin = 100;
constexpr uint64_t kTookMinNs = 500 * kNsPerMs;

}  // namespace

bool SpeedTrial::Steps::is_enough() const {
    return count >= kStepsMin && took_ns >= kTookMinNs;
}

SpeedTrial::Steps SpeedTrial::steps_of(const Slot& slot) {
    const shm::BoardView& board = *slot.process->board.view;
    const Counter time = is_gpu(slot.device) ? Counter::kStepNs : Counter::kStepCpuNs;
    return {board.counter(Counter::kSteps), board.counter(time)};
}

void SpeedTrial::begin(const ChildTable& table, uint64_t canary, uint64_t baseline_key) {
    canary_ = canary;
    before_.clear();
    const Slot* trial = table.find(canary);
    if (trial == nullptr) return;
    for (const auto& slot : table.slots(shm::Role::kWorker)) {
        const bool is_compared = slot->model_key == baseline_key && slot->device == trial->device;
        if (slot->process && (slot.get() == trial || is_compared)) {
            before_[slot->process->incarnation] = steps_of(*slot);
        }
    }
}

float SpeedTrial::ratio(const ChildTable& table) const {
    Steps canary;
    Steps others;
    for (const auto& [incarnation, before] : before_) {
        const Slot* slot = table.find(incarnation);
        if (slot == nullptr) continue;  // it died
        const Steps now = steps_of(*slot);
        Steps& sum = incarnation == canary_ ? canary : others;
        sum.count += now.count - before.count;
        sum.took_ns += now.took_ns - before.took_ns;
    }
    if (!canary.is_enough() || !others.is_enough()) return 0;
    const double own = static_cast<double>(canary.took_ns) / static_cast<double>(canary.count);
    const double old = static_cast<double>(others.took_ns) / static_cast<double>(others.count);
    return static_cast<float>(old / own);
}

}  // namespace bitnetd::supervisor
