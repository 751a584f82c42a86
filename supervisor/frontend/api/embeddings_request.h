// The body of POST /v1/embeddings, read and checked. Pure and bounded, like prepare(); large ones
// run on pool threads.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <variant>
#include <vector>

#include "supervisor/frontend/api/errors.h"
#include "supervisor/frontend/api/generation_params.h"
#include "supervisor/frontend/api/model_catalog.h"
#include "supervisor/frontend/api/prompt_input.h"

namespace bitnetd::frontend {

struct EmbeddingsRequest {
    std::shared_ptr<const Model> model;
    std::vector<Prompt> inputs;  // 1 .. limits.flights_max
    uint32_t dimensions = 0;     // 1 .. the model's hidden size
    bool is_base64 = false;
    ServiceParams service;
};

using EmbeddingsResult = std::variant<EmbeddingsRequest, ApiError>;

EmbeddingsResult prepare_embeddings(std::string_view body, const ModelList& models,
                                    const RequestLimits& limits);

}  // namespace bitnetd::frontend
