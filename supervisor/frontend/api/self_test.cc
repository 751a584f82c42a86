#include "supervisor/frontend/api/self_test.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/base/clock.h"
#include "shm/control/text_field.h"
#include "supervisor/frontend/api/generation_spec.h"

namespace bitnetd::frontend {

struct SelfTest::Run final : FlightSink {
    explicit Run(Dispatcher& dispatcher_) : dispatcher(dispatcher_) {}
    ~Run() override {
        if (flight != 0 && !over) dispatcher.cancel(flight, monotonic_ns());
    }

    void on_started(const FlightStart&) noexcept override {}
    void on_tokens(const TokenBatch& batch) noexcept override { tokens += batch.tokens.size(); }
    void on_end(EndReason reason) noexcept override {
        const bool by_itself = reason == EndReason::kStop || reason == EndReason::kLength;
        if (!by_itself) return fail(std::string(to_string(reason)));
        if (tokens == 0) return fail("no token");
        over = true;
    }
    void fail(std::string why) {
        over = true;
        failure = std::move(why);
    }

    Dispatcher& dispatcher;
    uint64_t flight = 0;
    size_t tokens = 0;
    bool over = false;
    std::string failure;  // empty: none
};

SelfTest::SelfTest(const shm::SelfTestMessage& order, std::shared_ptr<const Model> model,
                   Dispatcher& dispatcher, const RequestLimits& limits)
    : rollout_(order.rollout), worker_(order.worker) {
    for (uint32_t i = 0; i < std::min(order.count, shm::kTestPromptsMax); ++i)
        start(shm::field_text(order.prompts[i]), model, dispatcher, limits);
}

SelfTest::~SelfTest() = default;

// As a client's completion would be prepared.
void SelfTest::start(std::string_view prompt, std::shared_ptr<const Model> model,
                     Dispatcher& dispatcher, const RequestLimits& limits) {
    Run& run = *runs_.emplace_back(std::make_unique<Run>(dispatcher));
    if (model == nullptr) return run.fail("the model is not known here");
    const nlohmann::json request = {
        {"prompt", std::string(prompt)}, {"max_tokens", kTokens}, {"temperature", 0}};
    const std::string body = request.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    const PrepareResult result = prepare_for(RouteKind::kCompletions, body, model, limits);
    const auto* prepared = std::get_if<Prepared>(&result);
    if (prepared == nullptr) return run.fail(std::get<ApiError>(result).message);
    const uint64_t now_ns = monotonic_ns();
    FlightSpec spec = generation_spec(*prepared, prepared->prompts.front(), /*seed=*/0,
                                      shared_bias(prepared->params), now_ns);
    spec.only_worker = worker_;
    const auto flight = dispatcher.submit(std::move(spec), run, now_ns);
    if (!flight) return run.fail("the queue is full");
    run.flight = *flight;
}

bool SelfTest::is_over() const {
    return std::all_of(runs_.begin(), runs_.end(), [](const auto& run) { return run->over; });
}

shm::SelfTestDoneMessage SelfTest::result() const {
    shm::SelfTestDoneMessage message{};
    message.rollout = rollout_;
    message.worker = worker_;
    for (size_t i = 0; i < runs_.size(); ++i) {
        if (runs_[i]->failure.empty() || message.failed != 0) continue;
        message.failed = 1;
        shm::set_field(message.text, "prompt " + std::to_string(i + 1) + ": " + runs_[i]->failure);
    }
    return message;
}

}  // namespace bitnetd::frontend
