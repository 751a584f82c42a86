// The generation parameters of api.md: names, bounds, defaults, for all generation routes.
// Pure; any thread. What needs the model (ids below the vocabulary, context) is checked in
// prompt.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "shm/abi/records.h"
#include "supervisor/frontend/api/request_json.h"
#include "supervisor/frontend/dispatch/flight.h"

namespace bitnetd::frontend {

enum class RouteKind : uint8_t { kChat, kCompletions, kInference, kInferenceStream };
constexpr bool is_inference(RouteKind route) {
    return route == RouteKind::kInference || route == RouteKind::kInferenceStream;
}

inline constexpr uint32_t kChoicesMax = 16;
inline constexpr size_t kStopsMax = 16;
inline constexpr size_t kStopBytesMax = 256;
inline constexpr uint64_t kCompletionTokensDefault = 16;
inline constexpr uint64_t kInferenceTokensDefault = 64;

// Limits from the configuration.
struct RequestLimits {
    uint64_t timeout_ms = 600'000;       // default and maximum of timeout_ms
    uint64_t text_bytes_max = 16 << 20;  // of the text tokenized for one request
    uint32_t flights_max = 1024;         // of one request: prompts times best_of
    // Logprobs of the prompts' tokens in one answer, alternatives included: some 30 MB of JSON.
    uint64_t prompt_scores_max = 1 << 20;
    bool strict = false;  // unknown fields are refused
};

// How a request is to be served, whatever it asks for.
struct ServiceParams {
    Priority priority = Priority::kNormal;
    DevicePreference device = DevicePreference::kAuto;
    uint64_t timeout_ms = 0;
};

struct GenerationParams : ServiceParams {
    std::string model;                   // empty: the default model
    std::optional<uint64_t> max_tokens;  // absent: the rest of the context
    Sampling sampling;
    std::vector<shm::LogitBias> bias;
    std::optional<uint64_t> seed;  // absent: drawn
    std::vector<std::string> stops;
    uint32_t n = 1;
    uint32_t best_of = 1;         // >= n: so many are generated, the best n returned
    bool wants_logprobs = false;  // in the answer
    uint32_t top_logprobs = 0;
    bool ignore_eos = false;
    bool echo = false;
    bool stream = false;
    bool include_usage = false;

    bool scores_prompt() const { return echo && wants_logprobs; }
};

// Errors stay in `fields`.
void read_service_params(Fields& fields, const RequestLimits& limits, ServiceParams& params);
GenerationParams read_generation_params(Fields& fields, RouteKind route,
                                        const RequestLimits& limits);

}  // namespace bitnetd::frontend
