#include "supervisor/frontend/api/prepare.h"

#include <algorithm>

namespace bitnetd::frontend {
namespace {

// Ids that only the model can judge.
void check_against_model(Fields& fields, Prepared& prepared) {
    const uint32_t vocab = prepared.model->vocab;
    for (const shm::LogitBias& bias : prepared.params.bias) {
        if (bias.token >= vocab) {
            fields.wrong("logit_bias", "a map whose token ids are below the vocabulary's size of " +
                                           std::to_string(vocab));
            return;
        }
    }
    if (prepared.params.sampling.top_k >= vocab) prepared.params.sampling.top_k = 0;  // all: off
}

// Each choice has its own, and every score is written out with its alternatives.
void check_score_count(Fields& fields, const RequestLimits& limits, const Prepared& prepared) {
    uint64_t count = 0;
    for (const Prompt& prompt : prepared.prompts)
        count += prompt.ids->size();
    count *= prepared.params.best_of * (1 + uint64_t{prepared.params.top_logprobs});
    if (count <= limits.prompt_scores_max) return;
    ApiError error = invalid_value(
        "logprobs", "With 'echo' the request asks for " + std::to_string(count) +
                        " logprobs of prompts; at most " +
                        std::to_string(limits.prompt_scores_max) + " are given at once.");
    error.suggestion = "Lower 'logprobs', or send the prompts in several requests.";
    fields.fail(std::move(error));
}

void check_prompts(Fields& fields, RouteKind route, const RequestLimits& limits,
                   const Prepared& prepared) {
    const std::string_view param = route == RouteKind::kChat ? "messages" : "prompt";
    const size_t flights = prepared.prompts.size() * prepared.params.best_of;
    if (flights > limits.flights_max) {
        fields.fail(invalid_value(
            param, "The request asks for " + std::to_string(flights) + " generations; at most " +
                       std::to_string(limits.flights_max) + " are taken at once."));
        return;
    }
    if (is_inference(route) && prepared.prompts.size() != 1) {
        return fields.wrong(param, "one string or one array of token ids");
    }
    check_prompt_sizes(fields, param, prepared.prompts, *prepared.model,
                       prepared.params.max_tokens != 0);
    if (prepared.params.scores_prompt()) check_score_count(fields, limits, prepared);
}

// `model_of` gives the model for what the request names; null: there is none.
template <typename ModelOf>
PrepareResult prepare_with(RouteKind route, std::string_view body, const RequestLimits& limits,
                           ModelOf model_of) {
    OrderedJson json;
    if (auto error = parse_json_object(body, json)) return *error;

    Fields fields(json);
    Prepared prepared;
    prepared.route = route;
    prepared.params = read_generation_params(fields, route, limits);
    if (fields.failed()) return *fields.error();
    prepared.model = model_of(prepared.params.model);
    if (prepared.model == nullptr) return model_not_found(prepared.params.model);
    if (prepared.model->facts.pooling != shm::Pooling::kNone)
        return model_is_for_embeddings(prepared.model->id);

    check_against_model(fields, prepared);
    if (fields.failed()) return *fields.error();
    if (route == RouteKind::kChat)
        read_chat_prompt(fields, limits, prepared);
    else
        prepared.prompts = read_prompts(fields,
                                        {.name = "prompt",
                                         .keeps_echo = prepared.params.echo,
                                         .may_be_empty = !is_inference(route)},
                                        limits, *prepared.model);
    if (limits.strict) fields.refuse_unknown();
    if (!fields.failed()) check_prompts(fields, route, limits, prepared);
    if (fields.failed()) return *fields.error();
    return prepared;
}

}  // namespace

uint32_t Prepared::position_limit(const Prompt& prompt) const {
    const auto prompt_count = static_cast<uint32_t>(prompt.ids->size());
    const uint64_t left = model->context - prompt_count;
    return prompt_count + static_cast<uint32_t>(std::min(params.max_tokens.value_or(left), left));
}

PrepareResult prepare(RouteKind route, std::string_view body, const ModelList& models,
                      const RequestLimits& limits) {
    return prepare_with(route, body, limits,
                        [&models](std::string_view id) { return find_model(models, id); });
}

PrepareResult prepare_for(RouteKind route, std::string_view body,
                          std::shared_ptr<const Model> model, const RequestLimits& limits) {
    return prepare_with(route, body, limits, [&model](std::string_view) { return model; });
}

}  // namespace bitnetd::frontend
