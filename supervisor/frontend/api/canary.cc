#include "supervisor/frontend/api/canary.h"

#include <algorithm>
#include <utility>

#include "common/log/log.h"
#include "supervisor/frontend/api/generation_spec.h"

namespace bitnetd::frontend {
namespace {

// The canary's doing; a time that is over or a process that ends is not.
bool is_failure(EndReason reason) {
    switch (reason) {
        case EndReason::kQuarantined:
        case EndReason::kTooLong:
        case EndReason::kBadNumbers:
        case EndReason::kInternal:
        case EndReason::kCanaryGone:
            return true;
        case EndReason::kStop:
        case EndReason::kLength:
        case EndReason::kTimeout:
        case EndReason::kModelGone:
        case EndReason::kShutdown:
            return false;
    }
    return false;
}

}  // namespace

// The copy's flight, and what is known of its original.
struct Canary::Copy final : FlightSink {
    Copy(Dispatcher& dispatcher_, std::shared_ptr<const Model> model_,
         std::shared_ptr<TokenTally> original_, bool compares)
        : dispatcher(dispatcher_),
          model(std::move(model_)),
          original(std::move(original_)),
          tally(compares) {}
    ~Copy() override {
        if (flight != 0 && !tally.end()) dispatcher.cancel(flight, monotonic_ns());
    }

    void on_started(const FlightStart&) noexcept override {}
    void on_tokens(const TokenBatch& batch) noexcept override { tally.add(batch.tokens); }
    void on_end(EndReason reason) noexcept override { tally.end(reason); }

    Dispatcher& dispatcher;
    const std::shared_ptr<const Model> model;  // held: it must not be released
    const std::shared_ptr<TokenTally> original;
    TokenTally tally;
    IdComparison comparison;
    uint64_t flight = 0;
};

// A body on its way through a pool thread, which looks at nothing else.
struct Canary::Preparation {
    RouteKind route;
    std::string body;
    std::shared_ptr<const Model> model;
    uint64_t seed;
    uint64_t epoch;
    std::shared_ptr<TokenTally> tally;
    std::optional<PrepareResult> result;
};

Canary::Canary(Dispatcher& dispatcher, const ModelCatalog& catalog, TaskRunner& tasks,
               const RequestLimits& limits)
    : dispatcher_(dispatcher), catalog_(catalog), tasks_(tasks), limits_(limits) {}

Canary::~Canary() = default;

void Canary::take(const shm::CanaryMessage& order) {
    const bool goes_on = is_on() && order.rollout == order_.rollout &&
                         order.stage == order_.stage && order.worker == order_.worker;
    if (!goes_on) stop();
    if (order.rollout != sums_.rollout || order.stage != sums_.stage) {
        sums_ = {};
        sums_.rollout = order.rollout;
        sums_.stage = order.stage;
        seen_ = 0;
    }
    order_ = order;
    has_news_ = is_on();  // whoever asks anew may have missed what was told
    log::info("canary", {{"rollout", order.rollout},
                         {"stage", static_cast<int>(order.stage)},
                         {"permille", order.permille}});
}

void Canary::stop() {
    ++epoch_;
    has_news_ = false;
    order_.stage = shm::CanaryStage::kOff;
    copies_.clear();
    shares_.clear();
}

// Spread evenly, and the same for the same requests in the same order.
Canary::Use Canary::next(uint64_t model_key) {
    if (!is_on() || model_key != order_.baseline_key) return Use::kNone;
    ++seen_;
    if (seen_ * order_.permille / 1000 == (seen_ - 1) * order_.permille / 1000) return Use::kNone;
    return order_.stage == shm::CanaryStage::kShare ? Use::kShare : Use::kCopy;
}

std::shared_ptr<TokenTally> Canary::make_tally() const {
    return std::make_shared<TokenTally>(compares() && order_.stage == shm::CanaryStage::kCopies);
}

// The original of the next one is about to run, and counts.
size_t Canary::copies_max() const {
    size_t workers = 0;
    size_t flights = 1;
    for (const auto& worker : dispatcher_.workers()) {
        const bool is_old = worker.facts.model_key == order_.baseline_key;
        if (!is_old || worker.facts.incarnation == order_.worker) continue;
        ++workers;
        flights += worker.flights;
    }
    if (workers == 0) return 0;
    return std::min(kCopiesMax, (flights + workers - 1) / workers);
}

void Canary::copy(const Prepared& original, uint64_t seed, const std::string& body,
                  std::shared_ptr<TokenTally> tally) {
    if (copies() >= copies_max()) return;
    if (!has_own_model()) return submit(original, seed, std::move(tally));
    const auto model = catalog_.find(order_.model_key);
    if (model == nullptr || body.size() > kCopyBodyBytesMax) return;
    const auto task = std::make_shared<Preparation>(
        Preparation{original.route, body, model, seed, epoch_, std::move(tally), std::nullopt});
    ++preparing_;
    tasks_.run(
        [task, limits = limits_] {
            task->result = prepare_for(task->route, task->body, task->model, limits);
        },
        [this, task] {
            --preparing_;
            const auto* prepared = std::get_if<Prepared>(&*task->result);
            if (prepared == nullptr || task->epoch != epoch_) return;
            submit(*prepared, task->seed, task->tally);
        });
}

void Canary::submit(const Prepared& prepared, uint64_t seed, std::shared_ptr<TokenTally> tally) {
    const Prompt& prompt = prepared.prompts.front();
    if (prepared.position_limit(prompt) == prompt.ids->size()) return;  // nothing is drawn
    const uint64_t now_ns = monotonic_ns();
    FlightSpec spec = generation_spec(prepared, prompt, seed, shared_bias(prepared.params), now_ns);
    spec.only_worker = order_.worker;
    spec.priority = Priority::kLow;
    Copy& copy = copies_.emplace_back(dispatcher_, prepared.model, std::move(tally), compares());
    if (const auto flight = dispatcher_.submit(std::move(spec), copy, now_ns)) {
        copy.flight = *flight;
    } else {
        copies_.pop_back();  // the worker is not here (yet)
    }
}

std::shared_ptr<const Model> Canary::candidate() const {
    if (order_.stage != shm::CanaryStage::kShare || !has_own_model()) return nullptr;
    if (!dispatcher_.has_place(order_.worker, monotonic_ns())) return nullptr;
    return catalog_.find(order_.model_key);
}

void Canary::share(std::shared_ptr<TokenTally> tally) {
    shares_.push_back(std::move(tally));
}

void Canary::end_turn() {
    std::erase_if(shares_, [this](const auto& tally) { return settle(*tally); });
    copies_.remove_if([this](Copy& copy) { return settle(copy); });
}

// True: it has been judged, or never will be.
bool Canary::settle(Copy& copy) {
    TokenTally& original = *copy.original;
    TokenTally& mine = copy.tally;
    if (compares()) copy.comparison.add(original.take_ids(), mine.take_ids());
    if (mine.end() && !mine.is_whole()) {
        if (!is_failure(*mine.end())) return true;
        ++sums_.failed;
        note_change();
        return true;
    }
    const bool has_failed = original.end() && !original.is_whole() && !original.is_cut();
    const bool is_empty = original.is_cut() && original.count() == 0;
    if (has_failed || is_empty) return true;  // nothing to compare with

    // A copy that is as far as its original, which was cut short, has shown what it can.
    const bool is_far_enough = original.is_cut() && mine.count() >= original.count();
    const bool is_longer = original.is_whole() && mine.count() > original.count();
    const bool is_shorter = mine.is_whole() && mine.count() < original.count();
    const bool is_other_end =
        mine.is_whole() && original.is_whole() && mine.end() != original.end();
    const bool differs = copy.comparison.differs() || is_longer || is_shorter || is_other_end;
    if (compares() && differs) {
        count_copy(copy, /*is_different=*/true);
        return true;
    }
    if (is_far_enough || (mine.is_whole() && original.is_over())) {
        count_copy(copy, /*is_different=*/false);
        return true;
    }
    return false;
}

void Canary::count_copy(const Copy& copy, bool is_different) {
    ++sums_.completed;
    note_change();
    if (!is_different) return;
    ++sums_.different;
    log::warn("canary_differs", {{"rollout", order_.rollout},
                                 {"tokens", copy.tally.count()},
                                 {"original_tokens", copy.original->count()}});
}

// A share that another worker of the same model ran, since the canary was full, says nothing.
bool Canary::settle(const TokenTally& shared) {
    if (!shared.is_over()) return false;
    const auto end = shared.end();
    if (!end) return true;  // its client left
    const bool failed = is_failure(*end);
    const bool was_there = has_own_model() || shared.worker() == order_.worker;
    if (failed && (was_there || shared.worker() == 0)) {
        ++sums_.failed;
    } else if (was_there && (*end == EndReason::kStop || *end == EndReason::kLength)) {
        ++sums_.completed;
    } else {
        return true;
    }
    note_change();
    return true;
}

std::optional<shm::CanaryReportMessage> Canary::take_report(uint64_t now_ns) {
    if (!has_news_ || now_ns < reported_ns_ + kReportIntervalNs) return std::nullopt;
    has_news_ = false;
    reported_ns_ = now_ns;
    return sums_;
}

}  // namespace bitnetd::frontend
