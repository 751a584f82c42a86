// A rollout as operators read it. One document for GET /v1/rollouts/{id}, for the list of them and
// for the answer to an order; the answer adds an `error` when the rollout did not complete. Pure
// functions; loop thread.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "shm/abi/rollout_abi.h"
#include "supervisor/frontend/api/errors.h"
#include "supervisor/frontend/api/rollout_book.h"
#include "supervisor/frontend/http/exchange.h"

namespace bitnetd::frontend {

// "running", "completed", "failed" or "rolled_back".
std::string_view status_name(shm::RolloutOutcome outcome);

nlohmann::ordered_json rollout_json(const shm::RolloutMessage& rollout, int64_t now_unix_ms);
std::string render_rollout(const shm::RolloutMessage& rollout, int64_t now_unix_ms);
std::string render_rollouts(const RolloutBook& book, int64_t now_unix_ms);

// The answer to `order` once its rollout has ended: 200 completed; 422 model_invalid when the file
// was refused, 409 rollout_rolled_back when everything is as it was, 500 rollout_failed otherwise.
Response ended_response(const shm::RolloutMessage& rollout, const shm::OrderMessage& order,
                        std::string_view request_id);
// 202: it runs, `Location` says where to look.
Response running_response(const shm::RolloutMessage& rollout, int64_t now_unix_ms);

// The supervisor did not take the order. 'answer.error' is not kNone.
ApiError order_refused(const shm::OrderAnswerMessage& answer, const shm::OrderMessage& order);

}  // namespace bitnetd::frontend
