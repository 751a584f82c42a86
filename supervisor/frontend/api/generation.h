// Generation: one request on its way from admission to the end of its answer. It submits a flight
// per choice, gathers what they produce and answers through the Exchange, streamed or whole.
//   prepare.h -> Generation -> choice.h -> text_stream.h -> renderer.h
// Dies with its client (its flights are cancelled) or when it has answered; it then asks its owner
// to be destroyed, which must not happen within the call. Loop thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "supervisor/frontend/api/choice.h"
#include "supervisor/frontend/api/errors.h"
#include "supervisor/frontend/api/generation_spec.h"
#include "supervisor/frontend/api/prepare.h"
#include "supervisor/frontend/api/renderer.h"
#include "supervisor/frontend/api/running_request.h"
#include "supervisor/frontend/dispatch/dispatcher.h"
#include "supervisor/frontend/http/exchange.h"

namespace bitnetd::frontend {

// What a canary has to do with a client's generation (canary.h).
struct CanaryUse {
    std::shared_ptr<TokenTally> tally;  // of the first choice; null: nothing
    bool may_run = false;               // the canary may run it
};

class Generation final : public RunningRequest, public ChoiceOwner {
  public:
    // `seed` is the client's or was drawn. `on_done` is called once, last.
    Generation(Dispatcher& dispatcher, Exchange& exchange, Prepared prepared, uint64_t seed,
               CanaryUse canary, std::unique_ptr<Renderer> renderer,
               std::function<void(Generation&)> on_done);
    ~Generation() override;

    bool start(uint64_t now_ns) override;

  private:
    bool must_hold() const override;
    void on_choice_started(Choice& choice, const FlightStart& start) override;
    void on_device_changed() override { device_changed_ = true; }
    void on_choice_text(Choice& choice) override;
    void on_choice_stopped(Choice& choice) override;
    void on_choice_ended(Choice& choice, EndReason reason) override;

    FlightSpec spec_of(const Choice& choice, uint64_t now_ns) const;
    std::optional<ApiError> error_of(EndReason reason) const;
    std::string_view echo_of(const Choice& choice) const;
    void begin_stream();
    void send_text(Choice& choice);
    void send_finish(Choice& choice, EndReason reason);
    void keep(Choice& choice, EndReason reason);
    void answer_whole();
    void keep_best();
    void fail(const ApiError& error);
    void cancel_flights();
    void finish();
    void on_gone();
    void on_drained();
    Usage usage() const;
    uint64_t tokens_so_far() const;

    Dispatcher& dispatcher_;
    Exchange* exchange_;  // null once the client is gone or answered
    const Prepared prepared_;
    const SharedBias bias_;
    const uint64_t seed_;
    const CanaryUse canary_;
    const std::unique_ptr<Renderer> renderer_;
    const std::string request_id_;
    const uint64_t received_ns_;
    std::function<void(Generation&)> on_done_;

    std::vector<std::unique_ptr<Choice>> choices_;
    std::vector<FinishedChoice> finished_;  // not streamed
    std::vector<double> mean_logprobs_;     // of finished_, for best_of
    size_t ended_count_ = 0;
    bool has_begun_ = false;  // the stream's head is out
    std::string event_;       // scratch

    uint64_t cached_tokens_ = 0;
    bool device_changed_ = false;
    std::optional<FlightStart> start_;  // of the first flight that started
};

}  // namespace bitnetd::frontend
