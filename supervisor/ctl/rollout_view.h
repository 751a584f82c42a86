// A rollout for people. What the objects hold is told in the answer to Command::kStatus.
#pragma once

#include <string>

#include "supervisor/ctl/answer_json.h"

namespace bitnetd::supervisor {

bool is_running(const Json& rollout);
bool is_completed(const Json& rollout);

// "swap demo: canary_copies": what is under way.
std::string rollout_phase(const Json& rollout);

// "rollout-7 swap demo completed in 12 s (prepare 2.10 s, ...); 20 canary copies, ...". One line.
std::string rollout_summary(const Json& rollout);

// A table of an array of rollouts, or a line that there are none.
std::string rollouts_text(const Json& rollouts);

}  // namespace bitnetd::supervisor
