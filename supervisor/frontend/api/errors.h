// The errors of the API: what a client did wrong or what the server could not do, and the one body
// in which all of them are told. Messages never contain a path, a stack or another request's text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "supervisor/frontend/dispatch/flight.h"
#include "supervisor/frontend/http/exchange.h"

namespace bitnetd::frontend {

struct ApiError {
    int status = 500;
    std::string_view code = "internal_error";  // a literal
    std::string message;
    std::string param;       // empty: null
    std::string suggestion;  // what the caller can do next; empty: null
    std::optional<uint64_t> retry_after_ms;
    bool retry_is_useless = false;  // x-should-retry: false
    std::string allow;              // 405: the Allow header
};

// "invalid_request_error" for 400, and so on.
std::string_view error_type(int status);

// {"error": {message, type, param, code, suggestion, request_id}}, every key present.
std::string error_body(const ApiError& error, std::string_view request_id);
Response error_response(const ApiError& error, std::string_view request_id);

ApiError invalid_json(std::string message);
ApiError invalid_value(std::string_view param, std::string message);
ApiError missing_field(std::string_view param);
ApiError unsupported_parameter(std::string_view param, std::string message);
// `wants_answer`: the context must hold a token more than the prompt.
ApiError context_length_exceeded(std::string_view param, size_t prompt_tokens, uint32_t context,
                                 bool wants_answer);
inline constexpr std::string_view kModelNotFound = "model_not_found";
ApiError model_not_found(std::string_view model);
ApiError model_is_for_embeddings(std::string_view model);
ApiError internal_error(std::string message);
// 503, code one of "queue_full", "memory_exhausted", "draining", "model_loading".
ApiError overloaded(std::string_view code, std::string message, uint64_t retry_after_ms);
ApiError quarantined();
ApiError timed_out();
// Of a flight that ended with anything but kStop and kLength. `model`: its id.
ApiError flight_failed(EndReason reason, std::string_view model);

}  // namespace bitnetd::frontend
