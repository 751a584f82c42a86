// The gate: is there room, and does it make sense to take this in? It refuses early, before a
// request costs anything, and says when to come back, from what is measured and not from a
// constant.
//   Never here: HTTP, JSON, what a request says. Frontend process, loop thread only.
// Nothing is kept of a request that was refused.
#pragma once

#include <cstdint>
#include <map>

#include "supervisor/frontend/dispatch/dispatcher.h"

namespace bitnetd::frontend {

enum class Refusal : uint8_t { kNone, kDraining, kModelLoading, kQueueFull, kQuarantined };

struct Verdict {
    Refusal refusal = Refusal::kNone;
    uint64_t retry_after_ms = 0;
};

class Admission {
  public:
    // A model without a ready worker still takes requests for so long: its weights are sealed, and
    // a worker is back within its first back-off. Then requests are refused until one is there.
    static constexpr uint64_t kRestartGraceNs = 5 * kNsPerS;

    Admission(Dispatcher& dispatcher, uint64_t drain_timeout_ms)
        : dispatcher_(dispatcher), drain_timeout_ns_(drain_timeout_ms * kNsPerMs) {}

    void add_model(uint64_t model_key, uint64_t now_ns) { models_[model_key] = {now_ns, false}; }
    void remove_model(uint64_t model_key) { models_.erase(model_key); }
    // Every heartbeat: notes which models have a ready worker.
    void observe(uint64_t now_ns);
    void begin_drain(uint64_t now_ns);

    bool is_draining() const { return drain_began_ns_ != 0; }
    // A ready worker, or one that was and is expected back at once: what /health/ready asks.
    bool is_ready(uint64_t model_key, uint64_t now_ns) const;

    Verdict check(uint64_t model_key, const PromptDigest& digest, uint64_t now_ns);
    // The queue turned out to be full.
    Verdict queue_full(uint64_t now_ns) const;

  private:
    struct ModelState {
        uint64_t last_seen_ns = 0;  // with a ready worker, or when it was added
        bool was_ready = false;     // at least once
    };
    // Requests may wait for its worker: a model that was just loaded counts too.
    bool is_expected(uint64_t model_key, uint64_t now_ns) const;

    Dispatcher& dispatcher_;
    const uint64_t drain_timeout_ns_;
    uint64_t drain_began_ns_ = 0;
    std::map<uint64_t, ModelState> models_;  // by model key
};

}  // namespace bitnetd::frontend
