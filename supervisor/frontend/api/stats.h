// What operators read as JSON: GET /v1/stats (requests, tokens, times, every process), /v1/devices
// (what computes) and /v1/metrics (the machine). All of it from boards and the kernel, at the
// moment of the request; what nobody measured is null. Loop thread only.
#pragma once

#include <string>

#include "supervisor/frontend/api/board_set.h"
#include "supervisor/frontend/api/machine.h"
#include "supervisor/frontend/api/model_catalog.h"
#include "supervisor/frontend/dispatch/dispatcher.h"

namespace bitnetd::frontend {

struct ServerView {
    const BoardSet& boards;
    const ModelList& models;
    const Dispatcher& dispatcher;
    const Machine& machine;
};

std::string render_stats(const ServerView& server, uint64_t now_ns);
std::string render_devices(const ServerView& server);
std::string render_machine(const ServerView& server);

// Rows per step of a worker by the sequences it takes at once, since its slot's first start; at
// most 1, for prompts can fill a step with more rows than that. 0 before the first step.
double batch_efficiency(const shm::BoardView& board);

}  // namespace bitnetd::frontend
