#include "supervisor/frontend/api/api.h"

#include <atomic>
#include <optional>
#include <random>
#include <type_traits>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "supervisor/frontend/api/embeddings.h"
#include "supervisor/frontend/api/inference_renderer.h"
#include "supervisor/frontend/api/metrics.h"
#include "supervisor/frontend/api/openai_renderer.h"
#include "supervisor/frontend/api/operator_access.h"
#include "supervisor/frontend/api/url_text.h"

namespace bitnetd::frontend {

namespace {

// What is told in the case that the queue filled up between the gate and the flight.
constexpr uint64_t kNoRoomMs = 100;

// When to ask again for a model that is being loaded, which takes seconds.
constexpr uint64_t kLoadingRetryMs = 1'000;

// A body on its way through a pool thread. Kept alive by the task; the client may vanish meanwhile.
template <typename Outcome>
struct Preparation {
    std::string body;
    std::shared_ptr<const ModelList> models;
    Exchange* exchange;                  // loop thread only; null once the client is gone
    std::optional<Outcome> outcome;      // empty: nobody wanted it any more
    std::atomic<bool> is_wanted = true;  // false: a pool thread that comes to it may skip it
};

}  // namespace

Api::Api(Parts parts, ApiOptions options)
    : parts_(parts),
      options_(options),
      desk_(parts.orders),
      canary_(parts.dispatcher, parts.catalog, parts.tasks, options.limits) {}

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

// Of a body that was looked at: a model that is not there may be one that is still being loaded.
void Api::refuse_content(Exchange& exchange, const ApiError& error) {
    if (error.code == kModelNotFound && parts_.health.models_loading() > 0) {
        return fail(exchange,
                    overloaded("model_loading",
                               "Models are being loaded, and this one is not there, or not yet.",
                               kLoadingRetryMs));
    }
    fail(exchange, error);
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

ServerView Api::server_view() const {
    return {parts_.boards, *parts_.catalog.list(), parts_.dispatcher, parts_.machine};
}

void Api::stats(Exchange& exchange) {
    Response response;
    response.body = render_stats(server_view(), monotonic_ns());
    exchange.respond(std::move(response));
}

void Api::devices(Exchange& exchange) {
    Response response;
    response.body = render_devices(server_view());
    exchange.respond(std::move(response));
}

void Api::machine(Exchange& exchange) {
    Response response;
    response.body = render_machine(server_view());
    exchange.respond(std::move(response));
}

ModelsView Api::models_view(const Request& request) const {
    return {*parts_.catalog.list(), parts_.dispatcher, parts_.boards, desk_.book(),
            is_operator(request)};
}

void Api::list_models(Exchange& exchange) {
    Response response;
    const Request& request = exchange.request();
    response.body = render_model_list(models_view(request), request.query);
    exchange.respond(std::move(response));
}

void Api::get_model(Exchange& exchange) {
    const Request& request = exchange.request();
    const auto id = percent_decode(path_rest(request, "/v1/models/"));
    auto body = render_model(models_view(request), id.value_or(""));
    if (!body) {
        fail(exchange, model_not_found(id.value_or("")));
        return;
    }
    Response response;
    response.body = std::move(*body);
    exchange.respond(std::move(response));
}

// Templates and long texts are for the pool.
bool Api::is_quick(const Exchange& exchange, RouteKind route) const {
    return route != RouteKind::kChat && exchange.request().body.size() < options_.pool_body_bytes;
}

void Api::begin_generation(Exchange& exchange, RouteKind route) {
    prepare_then(
        exchange, is_quick(exchange, route),
        [route, limits = options_.limits](std::string_view body, const ModelList& models) {
            return prepare(route, body, models, limits);
        },
        [this](Exchange& client, PrepareResult result) { prepared(client, std::move(result)); });
}

void Api::answer_text(Exchange& exchange, TextRoute route) {
    const bool is_quick = route != TextRoute::kApplyTemplate &&
                          exchange.request().body.size() < options_.pool_body_bytes;
    prepare_then(
        exchange, is_quick,
        [route, limits = options_.limits](std::string_view body, const ModelList& models) {
            return answer_text_route(route, body, models, limits);
        },
        [this](Exchange& client, TextAnswer answer) {
            if (const auto* error = std::get_if<ApiError>(&answer)) {
                return refuse_content(client, *error);
            }
            Response response;
            response.body = std::get<std::string>(std::move(answer));
            client.respond(std::move(response));
        });
}

// `work` looks at the body, here when it is quick and on a pool thread when it is not; `finish`
// gets what it made, on the loop, if the client is still there.
template <typename Work, typename Finish>
void Api::prepare_then(Exchange& exchange, bool is_quick, Work work, Finish finish) {
    using Outcome = std::invoke_result_t<Work, std::string_view, const ModelList&>;
    const Request& request = exchange.request();
    if (is_quick) return finish(exchange, work(request.body, *parts_.catalog.list()));
    if (preparing_ >= options_.preparing_max) {
        return refuse_preparation(exchange, !std::is_same_v<Outcome, TextAnswer>);
    }
    ++preparing_;
    const auto task = std::make_shared<Preparation<Outcome>>();
    task->body = request.body;
    task->models = parts_.catalog.list();
    task->exchange = &exchange;
    exchange.on_gone = [task] {
        task->exchange = nullptr;
        task->is_wanted.store(false, std::memory_order_relaxed);
    };
    parts_.tasks.run(
        [task, work] {
            if (!task->is_wanted.load(std::memory_order_relaxed)) return;
            task->outcome = work(task->body, *task->models);
        },
        [this, task, finish] {
            --preparing_;
            preparing_ == 0 ? preparations_.was_empty() : preparations_.departed(monotonic_ns());
            if (task->exchange == nullptr) return;
            task->exchange->on_gone = nullptr;
            finish(*task->exchange, std::move(*task->outcome));
        });
}

void Api::prepared(Exchange& exchange, PrepareResult result) {
    if (const auto* error = std::get_if<ApiError>(&result)) {
        refuse_content(exchange, *error);
        return;
    }
    start(exchange, std::get<Prepared>(std::move(result)));
}

void Api::start(Exchange& exchange, Prepared prepared) {
    const GenerationParams& params = prepared.params;
    const Applicant applicant = {.model_key = prepared.model->key,
                                 .flights = prepared.prompts.size() * params.best_of,
                                 .priority = params.priority,
                                 .deadline_ns = monotonic_ns() + params.timeout_ms * kNsPerMs};
    if (!is_admitted(exchange, applicant, prepared.prompts)) return;
    const Canary::Use use = canary_.next(prepared.model->key);
    if (use != Canary::Use::kShare || !canary_.has_own_model())
        return generate(exchange, std::move(prepared), use);
    auto candidate = canary_.candidate();
    if (candidate == nullptr || preparing_ >= options_.preparing_max)
        return generate(exchange, std::move(prepared), Canary::Use::kNone);
    start_candidate(exchange, std::move(prepared), std::move(candidate));
}

// The body is prepared again: another model has another template and other ids. The one that serves
// answers after all if the candidate cannot, or has no place any more.
void Api::start_candidate(Exchange& exchange, Prepared original,
                          std::shared_ptr<const Model> candidate) {
    const auto kept = std::make_shared<Prepared>(std::move(original));
    prepare_then(
        exchange, is_quick(exchange, kept->route),
        [route = kept->route, candidate, limits = options_.limits](std::string_view body,
                                                                   const ModelList&) {
            return prepare_for(route, body, candidate, limits);
        },
        [this, kept, candidate](Exchange& client, PrepareResult result) {
            auto* prepared = std::get_if<Prepared>(&result);
            if (prepared == nullptr || canary_.candidate() != candidate)
                return generate(client, std::move(*kept), Canary::Use::kNone);
            generate(client, std::move(*prepared), Canary::Use::kShare);
        });
}

void Api::generate(Exchange& exchange, Prepared prepared, Canary::Use use) {
    const uint64_t seed = prepared.params.seed ? *prepared.params.seed : draw_seed();
    CanaryUse canary;
    if (use != Canary::Use::kNone) canary.tally = canary_.make_tally();
    canary.may_run = use == Canary::Use::kShare;
    if (use == Canary::Use::kShare) canary_.share(canary.tally);
    if (use == Canary::Use::kCopy)
        canary_.copy(prepared, seed, exchange.request().body, canary.tally);
    auto renderer = renderer_of(prepared, seed, exchange.request().request_id);
    run(exchange, std::make_unique<Generation>(parts_.dispatcher, exchange, std::move(prepared),
                                               seed, std::move(canary), std::move(renderer),
                                               [this](const Generation& done) { retire(done); }));
}

void Api::embeddings(Exchange& exchange) {
    const bool is_quick = exchange.request().body.size() < options_.pool_body_bytes;
    prepare_then(
        exchange, is_quick,
        [limits = options_.limits](std::string_view body, const ModelList& models) {
            return prepare_embeddings(body, models, limits);
        },
        [this](Exchange& client, EmbeddingsResult result) {
            if (const auto* error = std::get_if<ApiError>(&result)) {
                return refuse_content(client, *error);
            }
            start_embeddings(client, std::get<EmbeddingsRequest>(std::move(result)));
        });
}

void Api::start_embeddings(Exchange& exchange, EmbeddingsRequest request) {
    const Applicant applicant = {
        .model_key = request.model->key,
        .flights = request.inputs.size(),
        .priority = request.service.priority,
        .deadline_ns = monotonic_ns() + request.service.timeout_ms * kNsPerMs};
    if (!is_admitted(exchange, applicant, request.inputs)) return;
    run(exchange, std::make_unique<Embeddings>(parts_.dispatcher, exchange, std::move(request),
                                               [this](const Embeddings& done) { retire(done); }));
}

// False: it was refused and answered.
bool Api::is_admitted(Exchange& exchange, Applicant applicant, const std::vector<Prompt>& prompts) {
    std::vector<PromptDigest> digests;
    for (const Prompt& prompt : prompts) {
        digests.push_back(digest_of(*prompt.ids));
        if (prompt.ids->size() > applicant.prompt.size()) applicant.prompt = *prompt.ids;
    }
    applicant.digests = digests;
    const Verdict verdict = parts_.admission.check(applicant, monotonic_ns());
    if (verdict.refusal == Refusal::kNone) return true;
    refuse(exchange, verdict);
    return false;
}

// Too many bodies are being looked at already: when there is room again, at the measured pace.
void Api::refuse_preparation(Exchange& exchange, bool is_generation) {
    const uint64_t pace_ns = preparations_.pace_ns(kNsPerMs, monotonic_ns());
    const Verdict verdict = {Refusal::kQueueFull,
                             std::max<uint64_t>(1, preparing_ * pace_ns / kNsPerMs)};
    if (is_generation) return refuse(exchange, verdict);
    answer_refused(exchange, verdict);
}

void Api::run(Exchange& exchange, std::unique_ptr<RunningRequest> request) {
    const uint64_t now_ns = monotonic_ns();
    const RunningRequest* key = request.get();
    RunningRequest& started = *running_.emplace(key, std::move(request)).first->second;
    if (started.start(now_ns)) return;
    exchange.on_gone = nullptr;
    exchange.on_drained = nullptr;
    running_.erase(key);
    refuse(exchange, {Refusal::kQueueFull, kNoRoomMs});
}

std::unique_ptr<Renderer> Api::renderer_of(const Prepared& prepared, uint64_t seed,
                                           const std::string& request_id) {
    std::string id;
    ids_.draw(id);
    if (!is_inference(prepared.route))
        id.insert(0, prepared.route == RouteKind::kChat ? "chatcmpl-" : "cmpl-");
    const auto& model = prepared.model;
    AnswerHead head{prepared.route, std::move(id),      unix_seconds(),
                    model->id,      model->fingerprint, seed};
    if (!is_inference(prepared.route)) {
        return std::make_unique<OpenAiRenderer>(std::move(head), model, prepared.params,
                                                request_id);
    }
    const Prompt& prompt = prepared.prompts.front();
    const uint64_t tokens_max = prepared.position_limit(prompt) - prompt.ids->size();
    return std::make_unique<InferenceRenderer>(std::move(head), model, tokens_max, parts_.boards,
                                               request_id);
}

void Api::retire(const RunningRequest& request) {
    auto node = running_.extract(&request);
    BITNETD_CHECK(!node.empty());
    retired_.push_back(std::move(node.mapped()));
}

void Api::refuse(Exchange& exchange, const Verdict& verdict) {
    parts_.board.count(Counter::kGenerationsRefused);
    answer_refused(exchange, verdict);
}

void Api::answer_refused(Exchange& exchange, const Verdict& verdict) {
    switch (verdict.refusal) {
        case Refusal::kQuarantined:
            return fail(exchange, quarantined());
        case Refusal::kDraining:
            return fail(exchange, overloaded("draining", "The server is shutting down.",
                                             verdict.retry_after_ms));
        case Refusal::kModelLoading:
            return fail(exchange, overloaded("model_loading", "No worker is ready for the model.",
                                             verdict.retry_after_ms));
        case Refusal::kDeadline:
            return fail(exchange, overloaded("deadline_unreachable",
                                             "The answer could not begin within timeout_ms.",
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
