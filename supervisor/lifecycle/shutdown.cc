#include "supervisor/lifecycle/shutdown.h"

namespace bitnetd::supervisor {

bool Shutdown::on_terminate() {
    if (phase_ != ShutdownPhase::kServing) return on_quit();
    phase_ = ShutdownPhase::kDrainingFrontends;
    return true;
}

bool Shutdown::on_quit() {
    if (phase_ == ShutdownPhase::kKilling || phase_ == ShutdownPhase::kDone) return false;
    phase_ = ShutdownPhase::kKilling;
    return true;
}

bool Shutdown::on_count(size_t frontends, size_t others) {
    if (phase_ == ShutdownPhase::kDrainingFrontends && frontends == 0) {
        phase_ = ShutdownPhase::kDrainingWorkers;
        return true;
    }
    const bool ending =
        phase_ == ShutdownPhase::kDrainingWorkers || phase_ == ShutdownPhase::kKilling;
    if (!ending || frontends + others > 0) return false;
    phase_ = ShutdownPhase::kDone;
    return true;
}

}  // namespace bitnetd::supervisor
