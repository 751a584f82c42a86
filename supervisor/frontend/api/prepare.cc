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
    for (const Prompt& prompt : prepared.prompts) {
        if (prompt.ids->empty()) {
            fields.wrong(param, "text or ids of at least one token");
            return;
        }
        if (prompt.ids->size() >= prepared.model->context) {
            fields.fail(
                context_length_exceeded(param, prompt.ids->size(), prepared.model->context));
            return;
        }
    }
}

}  // namespace

uint32_t Prepared::position_limit(const Prompt& prompt) const {
    const auto prompt_count = static_cast<uint32_t>(prompt.ids->size());
    const uint64_t left = model->context - prompt_count;
    return prompt_count + static_cast<uint32_t>(std::min(params.max_tokens.value_or(left), left));
}

PrepareResult prepare(RouteKind route, std::string_view body, const ModelList& models,
                      const RequestLimits& limits) {
    OrderedJson json;
    if (auto error = parse_json_object(body, json)) return *error;

    Fields fields(json);
    Prepared prepared;
    prepared.route = route;
    prepared.params = read_generation_params(fields, route, limits);
    if (fields.failed()) return *fields.error();
    prepared.model = find_model(models, prepared.params.model);
    if (prepared.model == nullptr) return model_not_found(prepared.params.model);
    if (prepared.model->facts.pooling != shm::Pooling::kNone)
        return model_is_for_embeddings(prepared.model->id);

    check_against_model(fields, prepared);
    if (fields.failed()) return *fields.error();
    if (route == RouteKind::kChat)
        read_chat_prompt(fields, limits, prepared);
    else
        read_completions_prompt(fields, limits, prepared);
    if (limits.strict) fields.refuse_unknown();
    if (!fields.failed()) check_prompts(fields, route, limits, prepared);
    if (fields.failed()) return *fields.error();
    return prepared;
}

}  // namespace bitnetd::frontend
