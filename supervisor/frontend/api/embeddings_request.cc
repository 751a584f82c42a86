#include "supervisor/frontend/api/embeddings_request.h"

namespace bitnetd::frontend {
namespace {

constexpr std::string_view kInput = "input";

void read_fields(Fields& fields, const RequestLimits& limits, EmbeddingsRequest& request) {
    const uint32_t hidden = request.model->facts.hidden;
    request.dimensions =
        static_cast<uint32_t>(fields.integer("dimensions", 1, hidden).value_or(hidden));
    request.is_base64 = fields.choice("encoding_format", {"float", "base64"}).value_or(0) == 1;
    read_service_params(fields, limits, request.service);
    fields.ignore({"user"});
    request.inputs =
        read_prompts(fields, {.name = kInput, .may_be_empty = false}, limits, *request.model);
    check_prompt_sizes(fields, kInput, request.inputs, *request.model, /*wants_answer=*/false);
    if (limits.strict) fields.refuse_unknown();
}

}  // namespace

EmbeddingsResult prepare_embeddings(std::string_view body, const ModelList& models,
                                    const RequestLimits& limits) {
    OrderedJson json;
    if (auto error = parse_json_object(body, json)) return *error;
    Fields fields(json);
    const std::string name = fields.text("model", 256).value_or("");
    if (fields.failed()) return *fields.error();
    EmbeddingsRequest request;
    request.model = find_model(models, name);
    if (request.model == nullptr) return model_not_found(name);
    read_fields(fields, limits, request);
    if (fields.failed()) return *fields.error();
    return request;
}

}  // namespace bitnetd::frontend
