#include "supervisor/frontend/api/errors.h"

#include <algorithm>

#include "supervisor/frontend/api/json_text.h"

namespace bitnetd::frontend {

std::string_view error_type(int status) {
    switch (status) {
        case 401:
            return "authentication_error";
        case 403:
            return "permission_error";
        case 404:
            return "not_found_error";
        case 409:
            return "conflict_error";
        case 429:
            return "rate_limit_error";
        case 500:
            return "server_error";
        case 503:
            return "overloaded_error";
        default:
            return "invalid_request_error";
    }
}

std::string error_body(const ApiError& error, std::string_view request_id) {
    std::string body = "{\"error\":{\"message\":";
    append_json_string(body, error.message);
    body += ",\"type\":";
    append_json_string(body, error_type(error.status));
    body += ",\"param\":";
    append_json_string_or_null(body, error.param);
    body += ",\"code\":";
    append_json_string(body, error.code);
    body += ",\"suggestion\":";
    append_json_string_or_null(body, error.suggestion);
    body += ",\"request_id\":";
    append_json_string(body, request_id);
    body += "}}";
    return body;
}

Response error_response(const ApiError& error, std::string_view request_id) {
    Response response;
    response.status = error.status;
    response.body = error_body(error, request_id);
    if (error.retry_after_ms) {
        const uint64_t ms = *error.retry_after_ms;
        const uint64_t seconds = std::max<uint64_t>(1, (ms + 999) / 1000);
        response.headers.emplace_back("Retry-After", std::to_string(seconds));
        response.headers.emplace_back("retry-after-ms", std::to_string(ms));
    }
    if (error.retry_is_useless) response.headers.emplace_back("x-should-retry", "false");
    if (!error.allow.empty()) response.headers.emplace_back("Allow", error.allow);
    return response;
}

ApiError invalid_json(std::string message) {
    return {400,
            "invalid_json",
            std::move(message),
            "",
            "Send one JSON object, encoded as UTF-8.",
            std::nullopt,
            false,
            ""};
}

ApiError invalid_value(std::string_view param, std::string message) {
    return {400, "invalid_value", std::move(message), std::string(param), "", std::nullopt, false,
            ""};
}

ApiError missing_field(std::string_view param) {
    const std::string name(param);
    return {400,
            "missing_field",
            "'" + name + "' is required.",
            name,
            "Add '" + name + "' to the request.",
            std::nullopt,
            false,
            ""};
}

ApiError unsupported_parameter(std::string_view param, std::string message) {
    const std::string name(param);
    return {400,
            "unsupported_parameter",
            std::move(message),
            name,
            "Leave '" + name + "' out or set it to its default.",
            std::nullopt,
            false,
            ""};
}

ApiError context_length_exceeded(std::string_view param, size_t prompt_tokens, uint32_t context,
                                 bool wants_answer) {
    return {400,
            "context_length_exceeded",
            "The prompt has " + std::to_string(prompt_tokens) +
                " tokens; the model's context holds " + std::to_string(context) +
                (wants_answer ? ", and at least one must be left for the answer." : "."),
            std::string(param),
            "Shorten the prompt.",
            std::nullopt,
            false,
            ""};
}

ApiError model_is_for_embeddings(std::string_view model) {
    ApiError error = invalid_value("model", "The model '" + std::string(model) +
                                                "' makes embeddings; it does not generate text.");
    error.suggestion = "Name a model that generates text; GET /v1/models lists the models.";
    return error;
}

ApiError model_not_found(std::string_view model) {
    return {404,
            kModelNotFound,
            "The model '" + std::string(model) + "' does not exist.",
            "model",
            "GET /v1/models lists the models.",
            std::nullopt,
            false,
            ""};
}

ApiError internal_error(std::string message) {
    return {500, "internal_error", std::move(message), "", "", std::nullopt, false, ""};
}

ApiError overloaded(std::string_view code, std::string message, uint64_t retry_after_ms) {
    return {503,
            code,
            std::move(message),
            "",
            "Send the request again after Retry-After.",
            retry_after_ms,
            false,
            ""};
}

ApiError quarantined() {
    return {500,
            "request_quarantined",
            "This prompt was being computed when workers crashed repeatedly; it is not tried again "
            "for ten minutes.",
            "",
            "Change the prompt, and report the request id to the operator.",
            std::nullopt,
            true,
            ""};
}

ApiError timed_out() {
    return {408,
            "timeout",
            "The request's time was over before there was anything to answer with.",
            "timeout_ms",
            "Raise timeout_ms or try when the server is less busy.",
            std::nullopt,
            true,
            ""};
}

ApiError flight_failed(EndReason reason, std::string_view model) {
    switch (reason) {
        case EndReason::kTimeout:
            return timed_out();
        case EndReason::kQuarantined:
            return quarantined();
        case EndReason::kTooLong: {
            ApiError error = overloaded("memory_exhausted",
                                        "The request does not fit the memory of any worker.", 1000);
            error.suggestion = "Shorten the prompt or lower max_tokens.";
            error.retry_is_useless = true;
            return error;
        }
        case EndReason::kBadNumbers:
            return internal_error("The model computed numbers that are not finite.");
        case EndReason::kInternal:
            return internal_error("A worker could not run the request.");
        case EndReason::kModelGone:
            return model_not_found(model);
        case EndReason::kShutdown:
            return overloaded("draining", "The server is shutting down.", 1000);
        case EndReason::kCanaryGone:  // no client's
        case EndReason::kStop:
        case EndReason::kLength:
            break;
    }
    return internal_error("The request ended for an unknown reason.");
}

}  // namespace bitnetd::frontend
