// A Flight: one generation (one choice of one request) between admission and its end. It outlives
// any worker: it holds everything needed to continue on another one (prompt, what was produced,
// sampling, seed), and the bookkeeping that decides which records may speak for it (attempt) and
// which worker deaths count against it. Frontend process, loop thread only. Knows of no JSON and no
// HTTP.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "shm/abi/records.h"

namespace bitnetd::frontend {

enum class Priority : uint32_t { kHigh = 0, kNormal = 1, kLow = 2 };  // as SubmitRecord::priority
std::string_view to_string(Priority priority);

enum class DevicePreference : uint8_t { kAuto, kCpu, kGpu };

// Defaults mean "off". Ranges as in SubmitRecord.
struct Sampling {
    float temperature = 1.0f;
    float top_p = 1.0f;
    float min_p = 0.0f;
    float typical_p = 1.0f;
    float repetition_penalty = 1.0f;
    float frequency_penalty = 0.0f;
    float presence_penalty = 0.0f;
    uint32_t top_k = 0;
};

// What api/ asks for. Checked there: ids and biases below vocab, 1 <= prompt < position_limit <=
// context. A flight whose prompt is scored may end at its prompt, one that makes an embedding must:
// then no token is drawn.
struct FlightSpec {
    uint64_t model_key = 0;  // pinned: a flight ends on the model it began with
    uint32_t vocab = 0;      // a token at or above it is a worker's fault
    std::shared_ptr<const std::vector<uint32_t>> prompt;  // shared by the choices of a request
    uint32_t position_limit = 0;                          // prompt + produced end here
    uint64_t seed = 0;
    Sampling sampling;
    std::shared_ptr<const std::vector<shm::LogitBias>> bias;  // null: none
    uint32_t flags = 0;                                       // shm::SubmitFlags
    uint32_t logprobs = 0;
    uint32_t embedding_values = 0;  // with kWantEmbedding: the model's hidden size
    Priority priority = Priority::kNormal;
    DevicePreference device = DevicePreference::kAuto;
    uint64_t deadline_ns = UINT64_MAX;  // monotonic

    // A copy, whose output nobody reads: it runs on this worker (an incarnation) or not at all, and
    // no figure of the server counts it. 0: any worker of the model.
    uint64_t only_worker = 0;
    // Of the share of requests that a canary serves: it has one first, while it has a place.
    bool may_use_canary = false;
};

// Why a flight ended.
enum class EndReason : uint8_t {
    kStop,         // the last token is an end-of-generation id
    kLength,       // position_limit; all that was asked of the prompt is there too
    kTimeout,      // deadline_ns passed
    kQuarantined,  // three worker deaths that count
    kTooLong,      // does not fit the workers' memory at all
    kBadNumbers,   // logits were not finite
    kInternal,     // a worker refused or garbled it
    kModelGone,    // the model left and no worker of it remains
    kShutdown,     // this process ends
    kCanaryGone,   // a copy's worker went
};
std::string_view to_string(EndReason reason);

struct Token {
    uint32_t id = 0;
    float logprob = 0;                // with kWantLogprobs
    uint32_t alternatives_first = 0;  // into TokenBatch::alternatives
    uint32_t alternatives_count = 0;
    uint32_t step = 0;  // TokenRecord::step; 0 for a score
};

// Tokens of one flight that arrived in one turn of the loop, in order. Valid during the call.
struct TokenBatch {
    std::span<const Token> tokens;
    std::span<const shm::Alternative> alternatives;
    bool ends_with_eog = false;  // the last token is an end-of-generation id: it has no text
};

// A batch while it is gathered.
struct FreshTokens {
    std::vector<Token> tokens;
    std::vector<shm::Alternative> alternatives;

    void add(uint32_t id, float logprob, std::span<const shm::Alternative> others,
             uint32_t step = 0) {
        tokens.push_back({id, logprob, static_cast<uint32_t>(alternatives.size()),
                          static_cast<uint32_t>(others.size()), step});
        alternatives.insert(alternatives.end(), others.begin(), others.end());
    }
};

// What the first worker that ran the prompt reported; once per flight.
struct FlightStart {
    std::string device;          // "cpu:0"
    uint64_t worker = 0;         // incarnation
    uint32_t cached_tokens = 0;  // of the prompt
    uint64_t queue_ns = 0;       // admission to the first step that worked on it
    uint64_t prefill_ns = 0;
    uint64_t prefill_done_ns = 0;  // monotonic; decoding begins
};

// The receiver of a flight's news. Called on the loop thread, outside of any ring. A sink may
// cancel its own or other flights from within a call; after on_end(), or after
// Dispatcher::cancel(), it is never called again. on_started() comes once, before the
// first token, unless the flight ends before; scores of the prompt may come before it.
class FlightSink {
  public:
    virtual ~FlightSink() = default;
    virtual void on_started(const FlightStart& start) noexcept = 0;
    virtual void on_end(EndReason reason) noexcept = 0;
    // It goes on on another device than it began on, whose floats may differ. At most once.
    virtual void on_device_changed() noexcept {}

    // Of these a sink hears what its flight asked for.
    // Generated tokens; all scores of the prompt were told before.
    virtual void on_tokens(const TokenBatch&) noexcept {}
    // With kScorePrompt: the prompt's second token and on, each once, in order.
    virtual void on_prompt_scores(const TokenBatch&) noexcept {}
    // With kWantEmbedding: the next of its values, each once, in order; not normalised.
    virtual void on_embedding(std::span<const float>) noexcept {}
};

// "cpu:0" is a worker's place, "cpu" what it computes on; of several GPUs the number matters.
std::string_view device_class(std::string_view device);

// 128 bits that name a prompt without telling it.
struct PromptDigest {
    uint64_t high = 0;
    uint64_t low = 0;
    friend auto operator<=>(const PromptDigest&, const PromptDigest&) = default;
};
PromptDigest digest_of(std::span<const uint32_t> prompt);
std::string to_hex(const PromptDigest& digest);

struct Flight {
    uint64_t id = 0;  // unique in this frontend incarnation
    FlightSpec spec;
    FlightSink* sink = nullptr;
    PromptDigest digest;

    std::vector<uint32_t> produced;
    // What was taken of what was asked about the prompt. A later attempt sends it from the start:
    // what is known already is passed over.
    uint32_t scored_count = 1;           // of the prompt's tokens; the first has no score
    bool has_scores = false;             // all of them are there
    uint32_t embedding_count = 0;        // of the embedding's values
    std::vector<uint64_t> prefix_names;  // of the prompt; see prefix_memory.h
    uint32_t unbegun_tokens = 0;         // of prompt + produced, while its worker computes them
    uint32_t attempt = 0;                // of the current dispatch; 0 before the first
    uint64_t worker = 0;                 // incarnation that has it; 0 while it waits
    uint64_t queue_rank = 0;             // WaitingQueue's: lower leaves first

    // Deaths in a row that it may have caused: counted ones with nothing new between them.
    uint32_t deaths = 0;
    bool produced_since_death = false;  // a token, a score or a value
    bool runs_alone() const { return deaths >= 2; }

    // Times, monotonic ns; 0 = not yet.
    uint64_t admitted_ns = 0;
    uint64_t dispatched_ns = 0;  // the first time
    uint64_t first_token_ns = 0;
    uint64_t last_token_ns = 0;
    bool started = false;
    std::string device;           // that it began on
    bool device_changed = false;  // it has left it since

    // What arrived in this turn of the loop and has not reached the sink.
    std::optional<FlightStart> fresh_start;
    bool has_fresh_device = false;
    FreshTokens fresh_scores;
    std::vector<float> fresh_values;
    FreshTokens fresh;
    bool is_dirty = false;
    bool has_ended = false;
    EndReason end = EndReason::kInternal;

    uint32_t prompt_count() const { return static_cast<uint32_t>(spec.prompt->size()); }
    uint32_t next_position() const {
        return prompt_count() + static_cast<uint32_t>(produced.size());
    }
    bool is_copy() const { return spec.only_worker != 0; }
    bool draws_tokens() const { return prompt_count() < spec.position_limit; }
    // Of the next attempt. Scores that are all there are not asked for again: a prompt to be scored
    // is computed as a whole, one that is not may be in the prefix cache.
    uint32_t flags() const {
        return has_scores ? spec.flags & ~uint32_t{shm::kScorePrompt} : spec.flags;
    }
    bool awaits_scores() const { return (flags() & shm::kScorePrompt) != 0; }
};

}  // namespace bitnetd::frontend
