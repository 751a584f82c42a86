// GET /v1/models and /v1/models/{id}: the OpenAI list with bitnetd's fields, of the models that are
// there and of those that are being loaded or could not be. Loop thread only.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "supervisor/frontend/api/board_set.h"
#include "supervisor/frontend/api/model_catalog.h"
#include "supervisor/frontend/api/rollout_book.h"
#include "supervisor/frontend/dispatch/dispatcher.h"

namespace bitnetd::frontend {

struct ModelsView {
    const ModelList& models;
    const Dispatcher& dispatcher;
    const BoardSet& boards;
    const RolloutBook& rollouts;
    bool is_for_operator;  // others see no path, and no reason, which may name one
};

// `query` may filter by status, quantization_format and device. During a rollout an id may be there
// twice: what serves, and what is on trial (loading) or leaves (draining).
std::string render_model_list(const ModelsView& view, std::string_view query);
// Of several models of an id the one that serves, else the newest. Nothing when there is none.
std::optional<std::string> render_model(const ModelsView& view, std::string_view id);

}  // namespace bitnetd::frontend
