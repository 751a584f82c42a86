// Api: the Handler behind http/. It knows the routes, turns requests into Generations and renders
// everything else (models, health, metrics, errors).
//   routes.cc          method + path -> handler          prepare.h     body -> ids and parameters
//   generation.h       ids -> answer                     embeddings.h  ids -> vectors
//   canary.h           workers on trial, by copies and shares of generations
//   running_request.h  either of them, while it runs     health.h models.h metrics.h stats.h
//   text_routes.h      text <-> ids, without a generation
//   operator_routes.cc orders and rollouts; order_desk.h: orders that wait for their end
// Nothing below it (gate/, dispatch/) knows of JSON or of which API asked. Loop thread only; large
// bodies are prepared on pool threads, which share nothing with it but an immutable list of models.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "supervisor/frontend/api/board_set.h"
#include "supervisor/frontend/api/canary.h"
#include "supervisor/frontend/api/embeddings_request.h"
#include "supervisor/frontend/api/generation.h"
#include "supervisor/frontend/api/health.h"
#include "supervisor/frontend/api/model_catalog.h"
#include "supervisor/frontend/api/models.h"
#include "supervisor/frontend/api/order_desk.h"
#include "supervisor/frontend/api/prepare.h"
#include "supervisor/frontend/api/stats.h"
#include "supervisor/frontend/api/task_runner.h"
#include "supervisor/frontend/api/text_routes.h"
#include "supervisor/frontend/dispatch/dispatcher.h"
#include "supervisor/frontend/gate/admission.h"
#include "supervisor/frontend/http/exchange.h"
#include "supervisor/frontend/http/request_id.h"

namespace bitnetd::frontend {

struct ApiOptions {
    RequestLimits limits;
    // Smaller bodies are prepared at once, on the loop, unless they go through a chat template.
    size_t pool_body_bytes = 16 * 1024;
    // Requests being prepared at once; beyond: 503 queue_full.
    size_t preparing_max = 1024;
};

class Api final : public Handler {
  public:
    // All of these outlive the Api.
    struct Parts {
        Dispatcher& dispatcher;
        Admission& admission;
        ModelCatalog& catalog;
        BoardSet& boards;
        Health& health;
        Machine& machine;
        TaskRunner& tasks;
        shm::BoardWriter& board;
        OrderSender& orders;
    };
    Api(Parts parts, ApiOptions options);
    ~Api() override;

    void on_request(Exchange& exchange) override;
    std::string error_body(int status, std::string_view code, std::string_view message,
                           std::string_view request_id) const override;

    // Once per turn of the loop, outside of any call from here: frees what has answered.
    void end_turn() {
        retired_.clear();
        canary_.end_turn();
    }
    Canary& canary() { return canary_; }

    // What the supervisor says of orders and rollouts.
    void take_answer(const shm::OrderAnswerMessage& answer) {
        desk_.take_answer(answer, monotonic_ns());
    }
    void take_rollout(const shm::RolloutMessage& rollout) { desk_.take_rollout(rollout); }
    // Several times a second: deadlines of orders. `is_rolled`: this process is to end, the server
    // goes on.
    void observe(uint64_t now_ns, bool is_rolled = false) {
        desk_.observe(now_ns, is_rolled || parts_.admission.is_draining());
    }

    // Requests with work for others not yet answered, those being prepared included.
    size_t active() const { return running_.size() + preparing_; }

  private:
    struct Route;

    static const std::vector<Route>& routes();
    void answer_options(Exchange& exchange, std::string methods);
    // What stands behind `prefix`, percent-encoding kept.
    static std::string_view path_rest(const Request& request, std::string_view prefix) {
        return std::string_view(request.path).substr(prefix.size());
    }

    void chat_completions(Exchange& exchange) { begin_generation(exchange, RouteKind::kChat); }
    void completions(Exchange& exchange) { begin_generation(exchange, RouteKind::kCompletions); }
    void embeddings(Exchange& exchange);
    void inference(Exchange& exchange) { begin_generation(exchange, RouteKind::kInference); }
    void inference_stream(Exchange& exchange) {
        begin_generation(exchange, RouteKind::kInferenceStream);
    }
    void tokenize(Exchange& exchange) { answer_text(exchange, TextRoute::kTokenize); }
    void detokenize(Exchange& exchange) { answer_text(exchange, TextRoute::kDetokenize); }
    void apply_template(Exchange& exchange) { answer_text(exchange, TextRoute::kApplyTemplate); }
    void list_models(Exchange& exchange);
    void get_model(Exchange& exchange);
    ModelsView models_view(const Request& request) const;
    void health(Exchange& exchange);
    void health_live(Exchange& exchange);
    void health_ready(Exchange& exchange);
    void metrics(Exchange& exchange);
    void stats(Exchange& exchange);
    void devices(Exchange& exchange);
    void machine(Exchange& exchange);
    ServerView server_view() const;

    // operator_routes.cc
    void load_model(Exchange& exchange) { order(exchange, shm::OrderKind::kLoad); }
    void swap_model(Exchange& exchange) { order(exchange, shm::OrderKind::kSwap); }
    void roll_back_model(Exchange& exchange) { order(exchange, shm::OrderKind::kRollback); }
    void remove_model(Exchange& exchange);
    void list_rollouts(Exchange& exchange);
    void get_rollout(Exchange& exchange);
    void order(Exchange& exchange, shm::OrderKind kind);
    void place(Exchange& exchange, OrderResult order);

    void begin_generation(Exchange& exchange, RouteKind route);
    bool is_quick(const Exchange& exchange, RouteKind route) const;
    void answer_text(Exchange& exchange, TextRoute route);
    template <typename Work, typename Finish>
    void prepare_then(Exchange& exchange, bool is_quick, Work work, Finish finish);
    void prepared(Exchange& exchange, PrepareResult result);
    void start(Exchange& exchange, Prepared prepared);
    void start_candidate(Exchange& exchange, Prepared original,
                         std::shared_ptr<const Model> candidate);
    void generate(Exchange& exchange, Prepared prepared, Canary::Use use);
    std::unique_ptr<Renderer> renderer_of(const Prepared& prepared, uint64_t seed,
                                          const std::string& request_id);
    void start_embeddings(Exchange& exchange, EmbeddingsRequest request);
    bool is_admitted(Exchange& exchange, Applicant applicant, const std::vector<Prompt>& prompts);
    void refuse_preparation(Exchange& exchange, bool is_generation);
    void run(Exchange& exchange, std::unique_ptr<RunningRequest> request);
    void retire(const RunningRequest& request);
    void refuse(Exchange& exchange, const Verdict& verdict);
    void answer_refused(Exchange& exchange, const Verdict& verdict);
    void refuse_content(Exchange& exchange, const ApiError& error);
    void fail(Exchange& exchange, const ApiError& error);
    uint64_t draw_seed();

    Parts parts_;
    const ApiOptions options_;
    http::RequestIds ids_;
    OrderDesk desk_;
    std::unordered_map<const RunningRequest*, std::unique_ptr<RunningRequest>> running_;
    std::vector<std::unique_ptr<RunningRequest>> retired_;
    Canary canary_;
    size_t preparing_ = 0;
    DrainMeter preparations_;
};

}  // namespace bitnetd::frontend
