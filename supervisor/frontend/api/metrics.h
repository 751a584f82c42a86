// GET /metrics: all boards and models in Prometheus text. Names and help come from metrics.def.
#pragma once

#include <string>

#include "supervisor/frontend/api/board_set.h"
#include "supervisor/frontend/api/model_catalog.h"
#include "supervisor/frontend/dispatch/dispatcher.h"

namespace bitnetd::frontend {

inline constexpr std::string_view kPrometheusText = "text/plain; version=0.0.4; charset=utf-8";

std::string render_metrics(const BoardSet& boards, const ModelList& models,
                           const Dispatcher& dispatcher);

}  // namespace bitnetd::frontend
