// What /health, /health/ready and their kin answer. Rendered at most every kRefreshNs and otherwise
// copied: load balancers ask often. Loop thread only.
#pragma once

#include <cstdint>
#include <string>

#include "shm/abi/control_abi.h"
#include "supervisor/frontend/api/model_catalog.h"
#include "supervisor/frontend/dispatch/dispatcher.h"
#include "supervisor/frontend/gate/admission.h"
#include "supervisor/frontend/http/exchange.h"

namespace bitnetd::frontend {

class Health {
  public:
    static constexpr uint64_t kRefreshNs = 100 * kNsPerMs;

    Health(const ModelCatalog& catalog, const Dispatcher& dispatcher, const Admission& admission,
           uint64_t started_ns)
        : catalog_(catalog),
          dispatcher_(dispatcher),
          admission_(admission),
          started_ns_(started_ns) {}

    // What the supervisor knows that boards do not.
    void set_supervisor(const shm::HealthMessage& message) {
        supervisor_ = message;
        rendered_ns_ = 0;
    }

    // Configured ones that nobody can be served by yet.
    uint32_t models_loading() const { return supervisor_.models_loading; }

    // The whole server was told to stop, and not this process only.
    bool server_ends() const { return supervisor_.draining != 0; }

    // 200 healthy or degraded, 503 unhealthy.
    Response overall(uint64_t now_ns);
    // One model with one ready worker, not draining; overload does not make it unready.
    Response ready(uint64_t now_ns);

  private:
    void refresh(uint64_t now_ns);
    std::string render(uint64_t now_ns) const;

    const ModelCatalog& catalog_;
    const Dispatcher& dispatcher_;
    const Admission& admission_;
    const uint64_t started_ns_;
    shm::HealthMessage supervisor_{};

    uint64_t rendered_ns_ = 0;  // 0: not yet
    size_t models_ready_ = 0;
    uint32_t workers_ready_ = 0;
    bool draining_ = false;
    std::string body_;
};

}  // namespace bitnetd::frontend
