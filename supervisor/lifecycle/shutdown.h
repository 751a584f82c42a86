// The order in which the server ends. Pure.
//
//   serving --TERM--> draining frontends --all gone--> draining workers --all gone--> done
//      |                    |                                |
//      +------QUIT----------+----second TERM, QUIT-----------+--> killing --all gone--> done
//
// Workers outlast the frontends: the streams that are being finished need them, and one that dies
// meanwhile is still replaced.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitnetd::supervisor {

enum class ShutdownPhase : uint8_t {
    kServing,
    kDrainingFrontends,
    kDrainingWorkers,
    kKilling,
    kDone
};

class Shutdown {
  public:
    ShutdownPhase phase() const { return phase_; }
    bool serving() const { return phase_ == ShutdownPhase::kServing; }
    // A dead process of this kind gets a successor.
    bool replaces_frontends() const { return serving(); }
    bool replaces_workers() const {
        return serving() || phase_ == ShutdownPhase::kDrainingFrontends;
    }

    // Each returns true when the phase changed: the caller then does what the new one asks for.
    bool on_terminate();
    bool on_quit();
    // After every death, with what still runs (`others`: workers and loaders).
    bool on_count(size_t frontends, size_t others);

  private:
    ShutdownPhase phase_ = ShutdownPhase::kServing;
};

}  // namespace bitnetd::supervisor
