#include "supervisor/frontend/api/api.h"

#include <atomic>
#include <random>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "supervisor/frontend/api/metrics.h"
#include "supervisor/frontend/api/models.h"
#include "supervisor/frontend/api/url_text.h"

namespace bitnetd::frontend {

// A body on its way through a pool thread. Kept alive by the task; the client may vanish meanwhile.
struct Api::Preparation {
    Preparation(RouteKind route_, const std::string& body_,
                std::shared_ptr<const ModelList> models_, const RequestLimits& limits_,
                Exchange* exchange_)
        : route(route_),
          body(body_),
          models(std::move(models_)),
          limits(limits_),
          exchange(exchange_) {}

    RouteKind route;
    std::string body;
    std::shared_ptr<const ModelList> models;
    RequestLimits limits;
    Exchange* exchange;  // loop thread only; null once the client is gone
    PrepareResult result = ApiError{};
    std::atomic<bool> is_wanted = true;  // false: a pool thread that comes to it may skip it
};

Api::Api(Parts parts, ApiOptions options) : parts_(parts), options_(options) {}

Api::~Api() = default;

std::string Api::error_body(int status, std::string_view code, std::string_view message,
                            std::string_view request_id) const {
    ApiError error;
    error.status = status;
    error.code = code;
    error.message = message;
    return frontend::error_body(error, request_id);
}

void Api::fail(Exchange& exchange, const ApiError& error) {
    exchange.respond(error_response(error, exchange.request().request_id));
}

void Api::health(Exchange& exchange) {
    exchange.respond(parts_.health.overall(monotonic_ns()));
}

void Api::health_live(Exchange& exchange) {
    Response response;
    response.body = R"({"status":"alive"})";
    exchange.respond(std::move(response));
}

void Api::health_ready(Exchange& exchange) {
    exchange.respond(parts_.health.ready(monotonic_ns()));
}

void Api::metrics(Exchange& exchange) {
    Response response;
    response.content_type = kPrometheusText;
    response.body = render_metrics(parts_.boards, *parts_.catalog.list(), parts_.dispatcher);
    exchange.respond(std::move(response));
}

void Api::list_models(Exchange& exchange) {
    Response response;
    response.body = render_model_list(*parts_.catalog.list(), parts_.dispatcher, parts_.boards,
                                      exchange.request().query);
    exchange.respond(std::move(response));
}

void Api::get_model(Exchange& exchange) {
    constexpr std::string_view prefix = "/v1/models/";
    const std::string_view path = exchange.request().path;
    const auto id = percent_decode(path.substr(prefix.size()));
    auto body =
        render_model(*parts_.catalog.list(), parts_.dispatcher, parts_.boards, id.value_or(""));
    if (!body) {
        fail(exchange, model_not_found(id.value_or("")));
        return;
    }
    Response response;
    response.body = std::move(*body);
    exchange.respond(std::move(response));
}

void Api::begin_generation(Exchange& exchange, RouteKind route) {
    const Request& request = exchange.request();
    const auto models = parts_.catalog.list();
    if (route == RouteKind::kCompletions && request.body.size() < options_.pool_body_bytes) {
        prepared(exchange, prepare(route, request.body, *models, options_.limits));
        return;
    }
    if (preparing_ >= options_.preparing_max) {
        refuse(exchange, parts_.admission.queue_full(monotonic_ns()));
        return;
    }
    ++preparing_;
    const auto task =
        std::make_shared<Preparation>(route, request.body, models, options_.limits, &exchange);
    exchange.on_gone = [task] {
        task->exchange = nullptr;
        task->is_wanted.store(false, std::memory_order_relaxed);
    };
    parts_.tasks.run(
        [task] {
            if (!task->is_wanted.load(std::memory_order_relaxed)) return;
            task->result = prepare(task->route, task->body, *task->models, task->limits);
        },
        [this, task] {
            --preparing_;
            if (task->exchange == nullptr) return;
            prepared(*task->exchange, std::move(task->result));
        });
}

void Api::prepared(Exchange& exchange, PrepareResult result) {
    exchange.on_gone = nullptr;
    if (const auto* error = std::get_if<ApiError>(&result)) {
        fail(exchange, *error);
        return;
    }
    start(exchange, std::get<Prepared>(std::move(result)));
}

void Api::start(Exchange& exchange, Prepared prepared) {
    const uint64_t now_ns = monotonic_ns();
    for (const Prompt& prompt : prepared.prompts) {
        const Verdict verdict =
            parts_.admission.check(prepared.model->key, digest_of(*prompt.ids), now_ns);
        if (verdict.refusal != Refusal::kNone) return refuse(exchange, verdict);
    }
    const uint64_t seed = prepared.params.seed ? *prepared.params.seed : draw_seed();
    std::string id;
    ids_.draw(id);
    id.insert(0, prepared.route == RouteKind::kChat ? "chatcmpl-" : "cmpl-");

    auto owned = std::make_unique<Generation>(parts_.dispatcher, exchange, std::move(prepared),
                                              std::move(id), seed,
                                              [this](const Generation& done) { retire(done); });
    Generation& generation = *owned;
    generations_.emplace(&generation, std::move(owned));
    if (generation.start(now_ns)) return;
    exchange.on_gone = nullptr;
    exchange.on_drained = nullptr;
    generations_.erase(&generation);
    refuse(exchange, parts_.admission.queue_full(now_ns));
}

void Api::retire(const Generation& generation) {
    auto node = generations_.extract(&generation);
    BITNETD_CHECK(!node.empty());
    retired_.push_back(std::move(node.mapped()));
}

void Api::refuse(Exchange& exchange, const Verdict& verdict) {
    parts_.board.count(Counter::kGenerationsRefused);
    switch (verdict.refusal) {
        case Refusal::kQuarantined:
            return fail(exchange, quarantined());
        case Refusal::kDraining:
            return fail(exchange, overloaded("draining", "The server is shutting down.",
                                             verdict.retry_after_ms));
        case Refusal::kModelLoading:
            return fail(exchange, overloaded("model_loading", "No worker is ready for the model.",
                                             verdict.retry_after_ms));
        case Refusal::kQueueFull:
        case Refusal::kNone:
            break;
    }
    fail(exchange, overloaded("queue_full", "Too many requests are waiting already.",
                              verdict.retry_after_ms));
}

// 53 bits: what every JSON reader can hold, so that the answer's seed can be sent back.
uint64_t Api::draw_seed() {
    static thread_local std::mt19937_64 random{std::random_device{}()};
    return random() >> 11;
}

}  // namespace bitnetd::frontend
