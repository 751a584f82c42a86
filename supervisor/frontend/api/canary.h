// Canary: judges a worker on trial by what clients ask (mechanics.md section 6). First of copies of
// requests, whose output is thrown away; then of a share of the requests themselves. The supervisor
// says what to send where (shm::CanaryMessage) and decides from the sums it is told.
//   copies   an evenly spread part of the baseline's generations is submitted again, first choice
//            only, to the canary alone; drawn ids are compared with the original's when they must
//            be equal. At once at most kCopiesMax, and no more than what one of the old workers
//            computes, so that their steps compare; others are passed over: nobody waits for them.
//   share    such a part may be run by the canary, or is prepared for the candidate model.
// Never delays or changes a client's answer, but of those it shares. Loop thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "shm/abi/rollout_abi.h"
#include "supervisor/frontend/api/model_catalog.h"
#include "supervisor/frontend/api/prepare.h"
#include "supervisor/frontend/api/task_runner.h"
#include "supervisor/frontend/api/token_tally.h"
#include "supervisor/frontend/dispatch/dispatcher.h"

namespace bitnetd::frontend {

class Canary {
  public:
    static constexpr size_t kCopiesMax = 64;
    // A candidate model prepares the body again: larger ones are not copied for it.
    static constexpr size_t kCopyBodyBytesMax = 256 * 1024;
    static constexpr uint64_t kReportIntervalNs = 100 * kNsPerMs;

    // All of these outlive it.
    Canary(Dispatcher& dispatcher, const ModelCatalog& catalog, TaskRunner& tasks,
           const RequestLimits& limits);
    ~Canary();
    Canary(const Canary&) = delete;
    Canary& operator=(const Canary&) = delete;

    // kCanary. The sums begin anew with each rollout and stage.
    void take(const shm::CanaryMessage& order);
    // Copies that run are cancelled, shares are not watched any more.
    void stop();

    // What happens to the next generation of this model; each call counts one.
    enum class Use : uint8_t { kNone, kCopy, kShare };
    Use next(uint64_t model_key);

    // To be filled by a client's generation that is copied or shared.
    std::shared_ptr<TokenTally> make_tally() const;

    // Before the original starts. `body` is what it was prepared from.
    void copy(const Prepared& original, uint64_t seed, const std::string& body,
              std::shared_ptr<TokenTally> tally);

    // The canary computes another model than the baseline.
    bool has_own_model() const { return order_.model_key != order_.baseline_key; }
    // Of kShare, with a model of its own: that model, while the canary has a place. Else null.
    std::shared_ptr<const Model> candidate() const;
    void share(std::shared_ptr<TokenTally> tally);

    // Once per turn of the loop, outside of any sink.
    void end_turn();
    // When there is something new, at most every kReportIntervalNs.
    std::optional<shm::CanaryReportMessage> take_report(uint64_t now_ns);

    size_t copies() const { return copies_.size() + preparing_; }

  private:
    struct Copy;
    struct Preparation;

    bool is_on() const { return order_.stage != shm::CanaryStage::kOff; }
    size_t copies_max() const;
    bool compares() const { return order_.must_equal != 0; }
    void submit(const Prepared& prepared, uint64_t seed, std::shared_ptr<TokenTally> tally);
    bool settle(Copy& copy);
    void count_copy(const Copy& copy, bool is_different);
    bool settle(const TokenTally& shared);
    void note_change() { has_news_ = true; }

    Dispatcher& dispatcher_;
    const ModelCatalog& catalog_;
    TaskRunner& tasks_;
    const RequestLimits limits_;

    shm::CanaryMessage order_{};
    shm::CanaryReportMessage sums_{};
    uint64_t seen_ = 0;   // generations of the baseline
    uint64_t epoch_ = 0;  // counts orders: what was prepared for an earlier one is dropped
    std::list<Copy> copies_;
    size_t preparing_ = 0;
    std::vector<std::shared_ptr<TokenTally>> shares_;
    bool has_news_ = false;
    uint64_t reported_ns_ = 0;
};

}  // namespace bitnetd::frontend
