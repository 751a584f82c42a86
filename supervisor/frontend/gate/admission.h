// The gate: is there room, and does it make sense to take this in? It refuses early, before a
// request costs anything and without asking a worker, and says when to come back, from what is
// measured and not from a constant.
//
// A generation waits no longer than wait_max (by default half of what an answer takes): beyond, it
// is refused and told a time at which there will be room (promises.h).
//   Never here: HTTP, JSON, what a request says. Frontend process, loop thread only.
#pragma once

#include <cstdint>
#include <map>
#include <span>

#include "supervisor/frontend/dispatch/dispatcher.h"
#include "supervisor/frontend/gate/promises.h"

namespace bitnetd::frontend {

enum class Refusal : uint8_t {
    kNone,
    kDraining,
    kModelLoading,
    kQueueFull,
    kDeadline,  // it would be over before its first token
    kQuarantined
};

struct Verdict {
    Refusal refusal = Refusal::kNone;
    uint64_t retry_after_ms = 0;
};

// What the gate knows of a request.
struct Applicant {
    uint64_t model_key = 0;
    std::span<const PromptDigest> digests = {};  // of its prompts; at least one
    uint64_t flights = 1;
    std::span<const uint32_t> prompt = {};  // the longest one
    Priority priority = Priority::kNormal;
    uint64_t deadline_ns = UINT64_MAX;  // monotonic
};

class Admission {
  public:
    // A model without a ready worker still takes requests for so long: its weights are sealed, and
    // a worker is back within its first back-off. Then requests are refused until one is there.
    static constexpr uint64_t kRestartGraceNs = 5 * kNsPerS;

    struct Limits {
        uint64_t drain_timeout_ms = 30'000;
        uint64_t wait_max_ms = 0;  // 0: half of the time an answer takes
    };

    Admission(Dispatcher& dispatcher, const Limits& limits)
        : dispatcher_(dispatcher), limits_(limits) {}

    void add_model(uint64_t model_key, uint64_t now_ns) {
        models_[model_key].last_seen_ns = now_ns;
    }
    void remove_model(uint64_t model_key) { models_.erase(model_key); }
    // Every heartbeat: notes which models have a ready worker.
    void observe(uint64_t now_ns);
    void begin_drain(uint64_t now_ns);

    bool is_draining() const { return drain_began_ns_ != 0; }
    // A ready worker, or one that was and is expected back at once: what /health/ready asks.
    bool is_ready(uint64_t model_key, uint64_t now_ns) const;

    Verdict check(const Applicant& applicant, uint64_t now_ns);

  private:
    struct ModelState {
        uint64_t last_seen_ns = 0;  // with a ready worker, or when it was added
        bool was_ready = false;     // at least once
        Promises promises;
    };
    // Requests may wait for its worker: a model that was just loaded counts too.
    bool is_expected(uint64_t model_key, uint64_t now_ns) const;
    uint64_t wait_max_ns(uint64_t model_key) const;
    Verdict check_room(const Applicant& applicant, ModelState& state, uint64_t now_ns);

    Dispatcher& dispatcher_;
    const Limits limits_;
    uint64_t drain_began_ns_ = 0;
    std::map<uint64_t, ModelState> models_;  // by model key
};

}  // namespace bitnetd::frontend
