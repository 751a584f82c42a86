// GET /v1/models and /v1/models/{id}: the OpenAI list with bitnetd's fields. Never a path: those
// are for operators. Loop thread only.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "supervisor/frontend/api/board_set.h"
#include "supervisor/frontend/api/model_catalog.h"
#include "supervisor/frontend/dispatch/dispatcher.h"

namespace bitnetd::frontend {

// `query` may filter by status, quantization_format and device.
std::string render_model_list(const ModelList& models, const Dispatcher& dispatcher,
                              const BoardSet& boards, std::string_view query);
// Nothing when there is no such model.
std::optional<std::string> render_model(const ModelList& models, const Dispatcher& dispatcher,
                                        const BoardSet& boards, std::string_view id);

}  // namespace bitnetd::frontend
