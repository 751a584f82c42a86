// What an operator asks of models, as the supervisor takes it: the bodies of POST /v1/models/load,
// swap and rollback, and DELETE /v1/models/{id}. Looks at form and bounds only; whether the path is
// allowed and the model there is the supervisor's to say. Untrusted input; any thread.
#pragma once

#include <string_view>
#include <variant>

#include "shm/abi/rollout_abi.h"
#include "supervisor/frontend/api/errors.h"
#include "supervisor/frontend/api/model_catalog.h"

namespace bitnetd::frontend {

inline constexpr uint64_t kOrderTimeoutMaxS = 24 * 60 * 60;
inline constexpr uint64_t kValidationSamplesMax = 1'000'000;

struct Order {
    shm::OrderMessage message{};  // `request` is the sender's to set
    bool waits = true;            // the answer comes when the rollout has ended
};

using OrderResult = std::variant<Order, ApiError>;

// `kind` is not kRemove. `models` turn an alias, or no model_id, into the id that it stands for;
// a load must give an id.
OrderResult read_order(shm::OrderKind kind, std::string_view body, const ModelList& models,
                       bool is_strict);

// `id` may be an alias; `query` may say "wait=false".
OrderResult read_removal(std::string_view id, std::string_view query, const ModelList& models);

}  // namespace bitnetd::frontend
