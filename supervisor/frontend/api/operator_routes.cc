// The routes by which operators change and watch what is served: load, swap, rollback, removal,
// rollouts. Who may use them is decided in routes.cc before any of this runs.
#include "common/base/clock.h"
#include "supervisor/frontend/api/api.h"
#include "supervisor/frontend/api/rollout_json.h"
#include "supervisor/frontend/api/url_text.h"

namespace bitnetd::frontend {
namespace {

int64_t now_unix_ms() {
    return static_cast<int64_t>(unix_milliseconds());
}

ApiError rollout_not_found(std::string_view name) {
    ApiError error;
    error.status = 404;
    error.code = "rollout_not_found";
    error.message = "The rollout '" + std::string(name) + "' is not known.";
    error.suggestion = "GET /v1/rollouts lists the newest ones.";
    return error;
}

}  // namespace

// Small bodies by far, and operators are few: read on the loop. One too large is refused.
void Api::order(Exchange& exchange, shm::OrderKind kind) {
    const Request& request = exchange.request();
    if (request.body.size() > options_.pool_body_bytes) {
        ApiError error =
            invalid_value("", "The body of an order has at most " +
                                  std::to_string(options_.pool_body_bytes) + " bytes.");
        error.status = 413;
        error.code = "request_too_large";
        return fail(exchange, error);
    }
    place(exchange, read_order(kind, request.body, *parts_.catalog.list(), options_.limits.strict));
}

void Api::remove_model(Exchange& exchange) {
    const auto id = percent_decode(path_rest(exchange.request(), "/v1/models/"));
    place(exchange,
          read_removal(id.value_or(""), exchange.request().query, *parts_.catalog.list()));
}

void Api::place(Exchange& exchange, OrderResult order) {
    if (const auto* error = std::get_if<ApiError>(&order)) return fail(exchange, *error);
    desk_.place(exchange, std::get<Order>(order), monotonic_ns());
}

void Api::list_rollouts(Exchange& exchange) {
    Response response;
    response.body = render_rollouts(desk_.book(), now_unix_ms());
    exchange.respond(std::move(response));
}

void Api::get_rollout(Exchange& exchange) {
    const std::string_view name = path_rest(exchange.request(), "/v1/rollouts/");
    const auto number = rollout_number(name);
    const shm::RolloutMessage* rollout = number ? desk_.book().find(*number) : nullptr;
    if (rollout == nullptr) return fail(exchange, rollout_not_found(name));
    Response response;
    response.body = render_rollout(*rollout, now_unix_ms());
    exchange.respond(std::move(response));
}

}  // namespace bitnetd::frontend
