// The table of routes, and what is the same for all of them: methods, content types, CORS.
#include "supervisor/frontend/api/api.h"
#include "supervisor/frontend/http/chars.h"

namespace bitnetd::frontend {

struct Api::Route {
    Method method;  // kGet serves HEAD too
    std::string_view path;
    bool is_prefix;  // anything non-empty may follow
    void (Api::*handle)(Exchange&);
};

// Health first: it is asked most often.
const std::vector<Api::Route>& Api::routes() {
    static const std::vector<Route> table = {
        {Method::kGet, "/health", false, &Api::health},
        {Method::kPost, "/v1/chat/completions", false, &Api::chat_completions},
        {Method::kPost, "/v1/completions", false, &Api::completions},
        {Method::kPost, "/v1/inference", false, &Api::inference},
        {Method::kPost, "/v1/inference/stream", false, &Api::inference_stream},
        {Method::kPost, "/v1/embeddings", false, &Api::embeddings},
        {Method::kGet, "/health/live", false, &Api::health_live},
        {Method::kGet, "/livez", false, &Api::health_live},
        {Method::kGet, "/health/ready", false, &Api::health_ready},
        {Method::kGet, "/readyz", false, &Api::health_ready},
        {Method::kGet, "/ready", false, &Api::health_ready},
        {Method::kGet, "/metrics", false, &Api::metrics},
        {Method::kGet, "/v1/stats", false, &Api::stats},
        {Method::kGet, "/v1/devices", false, &Api::devices},
        {Method::kGet, "/v1/metrics", false, &Api::machine},
        {Method::kPost, "/tokenize", false, &Api::tokenize},
        {Method::kPost, "/detokenize", false, &Api::detokenize},
        {Method::kPost, "/apply-template", false, &Api::apply_template},
        {Method::kGet, "/v1/models", false, &Api::list_models},
        {Method::kGet, "/v1/models/", true, &Api::get_model},
    };
    return table;
}

namespace {

// A missing Content-Type counts as JSON.
bool is_json_type(std::string_view content_type) {
    const std::string_view type = http::trim(content_type.substr(0, content_type.find(';')));
    return type.empty() || http::equals_ignoring_case(type, "application/json");
}

ApiError unsupported_media_type() {
    ApiError error;
    error.status = 415;
    error.code = "unsupported_media_type";
    error.message = "The Content-Type is not application/json.";
    error.suggestion = "Send Content-Type: application/json.";
    return error;
}

}  // namespace

std::string Api::allowed_methods(const Route& route) {
    return route.method == Method::kGet ? "GET, HEAD, OPTIONS" : "POST, OPTIONS";
}

void Api::on_request(Exchange& exchange) {
    const Request& request = exchange.request();
    const Route* found = nullptr;
    for (const Route& route : routes()) {
        const std::string_view path = request.path;
        const bool matches = route.is_prefix
                                 ? path.starts_with(route.path) && path.size() > route.path.size()
                                 : path == route.path;
        if (!matches) continue;
        found = &route;
        break;
    }
    if (found == nullptr) {
        ApiError error;
        error.status = 404;
        error.code = "route_not_found";
        error.message = "There is no such route.";
        fail(exchange, error);
        return;
    }
    if (request.method == Method::kOptions) {
        answer_options(exchange, *found);
        return;
    }
    const bool is_allowed = request.method == found->method ||
                            (request.method == Method::kHead && found->method == Method::kGet);
    if (!is_allowed) {
        ApiError error;
        error.status = 405;
        error.code = "method_not_allowed";
        error.message = "This route does not take " + std::string(to_string(request.method)) + ".";
        error.allow = allowed_methods(*found);
        error.suggestion = "Allowed: " + error.allow + ".";
        fail(exchange, error);
        return;
    }
    if (request.method == Method::kPost && !is_json_type(request.header("content-type"))) {
        fail(exchange, unsupported_media_type());
        return;
    }
    (this->*found->handle)(exchange);
}

void Api::answer_options(Exchange& exchange, const Route& route) {
    Response response;
    response.status = 204;
    response.content_type = "";
    const std::string methods = allowed_methods(route);
    response.headers = {{"Allow", methods},
                        {"Access-Control-Allow-Methods", methods},
                        {"Access-Control-Allow-Headers",
                         "Authorization, Content-Type, x-api-key, x-request-id, Idempotency-Key"},
                        {"Access-Control-Max-Age", "86400"}};
    exchange.respond(std::move(response));
}

}  // namespace bitnetd::frontend
