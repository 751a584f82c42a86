// The table of routes, and what is the same for all of them: methods, content types, CORS.
#include "supervisor/frontend/api/api.h"
#include "supervisor/frontend/api/operator_access.h"
#include "supervisor/frontend/http/chars.h"

namespace bitnetd::frontend {

namespace {

enum class Audience : uint8_t { kAll, kOperators };

}  // namespace

struct Api::Route {
    Method method;  // kGet serves HEAD too
    std::string_view path;
    bool is_prefix;  // anything non-empty may follow
    void (Api::*handle)(Exchange&);
    Audience audience = Audience::kAll;

    bool matches(std::string_view asked) const {
        return is_prefix ? asked.starts_with(path) && asked.size() > path.size() : asked == path;
    }
    bool serves(Method asked) const {
        return asked == method || (asked == Method::kHead && method == Method::kGet);
    }
};

// Health first: it is asked most often. Of several rows that match a path the first one that takes
// the method serves it, so a model may be called "load" and still be looked at.
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
        {Method::kGet, "/metrics", false, &Api::metrics, Audience::kOperators},
        {Method::kGet, "/v1/stats", false, &Api::stats, Audience::kOperators},
        {Method::kGet, "/v1/devices", false, &Api::devices, Audience::kOperators},
        {Method::kGet, "/v1/metrics", false, &Api::machine, Audience::kOperators},
        {Method::kPost, "/tokenize", false, &Api::tokenize},
        {Method::kPost, "/detokenize", false, &Api::detokenize},
        {Method::kPost, "/apply-template", false, &Api::apply_template},
        {Method::kGet, "/v1/models", false, &Api::list_models},
        {Method::kGet, "/v1/models/", true, &Api::get_model},
        {Method::kPost, "/v1/models/load", false, &Api::load_model, Audience::kOperators},
        {Method::kPost, "/v1/models/swap", false, &Api::swap_model, Audience::kOperators},
        {Method::kPost, "/v1/models/rollback", false, &Api::roll_back_model, Audience::kOperators},
        {Method::kDelete, "/v1/models/", true, &Api::remove_model, Audience::kOperators},
        {Method::kGet, "/v1/rollouts", false, &Api::list_rollouts, Audience::kOperators},
        {Method::kGet, "/v1/rollouts/", true, &Api::get_rollout, Audience::kOperators},
    };
    return table;
}

namespace {

bool is_json_type(std::string_view content_type) {
    const std::string_view type = http::trim(content_type.substr(0, content_type.find(';')));
    return http::equals_ignoring_case(type, "application/json");
}

// A missing one counts as JSON, but not from operators: a web page may send a POST without asking
// first as long as it does not say that.
bool takes_content_type(const Request& request, Audience audience) {
    if (request.method != Method::kPost) return true;
    const std::string_view type = request.header("content-type");
    return is_json_type(type) || (type.empty() && audience == Audience::kAll);
}

ApiError unsupported_media_type() {
    ApiError error;
    error.status = 415;
    error.code = "unsupported_media_type";
    error.message = "The Content-Type is not application/json.";
    error.suggestion = "Send Content-Type: application/json.";
    return error;
}

ApiError route_not_found() {
    ApiError error;
    error.status = 404;
    error.code = "route_not_found";
    error.message = "There is no such route.";
    return error;
}

ApiError method_not_allowed(Method asked, std::string allowed) {
    ApiError error;
    error.status = 405;
    error.code = "method_not_allowed";
    error.message = "This route does not take " + std::string(to_string(asked)) + ".";
    error.allow = std::move(allowed);
    error.suggestion = "Allowed: " + error.allow + ".";
    return error;
}

}  // namespace

void Api::on_request(Exchange& exchange) {
    const Request& request = exchange.request();
    const Route* found = nullptr;
    std::string methods;  // of all rows before the found one
    for (const Route& route : routes()) {
        if (!route.matches(request.path)) continue;
        if (route.serves(request.method)) {
            found = &route;
            break;
        }
        methods += to_string(route.method);
        methods += route.method == Method::kGet ? ", HEAD, " : ", ";
    }
    if (found == nullptr) {
        if (methods.empty()) return fail(exchange, route_not_found());
        methods += "OPTIONS";
        if (request.method == Method::kOptions) return answer_options(exchange, methods);
        return fail(exchange, method_not_allowed(request.method, methods));
    }
    if (found->audience == Audience::kOperators) {
        if (const auto refused = refuse_other_than_operator(request)) {
            return fail(exchange, *refused);
        }
    }
    if (!takes_content_type(request, found->audience)) {
        return fail(exchange, unsupported_media_type());
    }
    (this->*found->handle)(exchange);
}

void Api::answer_options(Exchange& exchange, std::string methods) {
    Response response;
    response.status = 204;
    response.content_type = "";
    response.headers = {
        {"Allow", methods},
        {"Access-Control-Allow-Methods", methods},
        {"Access-Control-Allow-Headers", "Authorization, Content-Type, x-request-id"},
        {"Access-Control-Max-Age", "86400"}};
    exchange.respond(std::move(response));
}

}  // namespace bitnetd::frontend
