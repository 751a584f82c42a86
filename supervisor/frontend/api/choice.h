// One choice of a generation: the sink of its flight, and its text. While the client reads slowly
// its tokens stay ids (8 bytes each instead of an event of hundreds) and are rendered when told to
// go on. Owned by a Generation; loop thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "supervisor/frontend/api/prompt_echo.h"
#include "supervisor/frontend/api/text_stream.h"
#include "supervisor/frontend/api/token_tally.h"
#include "supervisor/frontend/dispatch/flight.h"

namespace bitnetd::frontend {

class Choice;

// What a choice tells its generation. Called from within the sink's calls.
class ChoiceOwner {
  public:
    virtual ~ChoiceOwner() = default;
    virtual bool must_hold() const = 0;  // the client reads slowly
    virtual void on_choice_started(Choice& choice, const FlightStart& start) = 0;
    virtual void on_device_changed() = 0;
    virtual void on_choice_text(Choice& choice) = 0;  // text or scores are new
    // A stop string was completed: the flight is to be ended.
    virtual void on_choice_stopped(Choice& choice) = 0;
    virtual void on_choice_ended(Choice& choice, EndReason reason) = 0;
};

class Choice final : public FlightSink {
  public:
    Choice(ChoiceOwner& owner, uint32_t prompt_, uint32_t index_, TextStream stream)
        : prompt(prompt_), index(index_), owner_(owner), stream_(std::move(stream)) {}

    // The text begins with the prompt, and every token of both has a score. Before the flight
    // starts.
    void echo_with_scores(const text::VocabularyView& vocabulary, const Prompt& echoed);

    void on_started(const FlightStart& start) noexcept override;
    void on_device_changed() noexcept override { owner_.on_device_changed(); }
    void on_prompt_scores(const TokenBatch& batch) noexcept override;
    void on_tokens(const TokenBatch& batch) noexcept override;
    void on_end(EndReason reason) noexcept override;

    // The client reads again: renders what was held.
    void go_on();

    const uint32_t prompt;  // index of its prompt
    const uint32_t index;   // among the choices that were generated, from 0
    uint64_t flight = 0;
    bool is_ended = false;
    std::shared_ptr<TokenTally> tally;  // null: nobody watches

    std::string text;                 // not yet taken by the owner
    std::vector<ScoredToken> scores;  // likewise
    uint64_t token_count = 0;         // up to the one that completed a stop string
    uint64_t step_count = 0;          // of the worker's steps, those that drew them
    double logprob_sum = 0;
    uint64_t first_token_ns = 0;
    uint64_t last_token_ns = 0;

  private:
    void take_echo();
    void hold(const TokenBatch& batch);
    void take(const TokenBatch& batch);
    void end(EndReason reason);

    ChoiceOwner& owner_;
    TextStream stream_;
    std::optional<PromptEcho> echo_;        // with echo_with_scores()
    std::optional<ScoredToken> end_score_;  // then: of the end-of-generation token
    bool has_echoed_ = false;

    uint32_t last_step_ = 0;  // that drew a token
    std::vector<Token> held_;
    std::vector<shm::Alternative> held_alternatives_;
    bool held_ends_with_eog_ = false;
    std::optional<EndReason> held_end_;
};

}  // namespace bitnetd::frontend
