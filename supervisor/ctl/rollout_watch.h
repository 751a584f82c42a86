// RolloutWatch: what a command began, as the server tells of it: a progress line on standard error
// while it runs, and what became of each rollout at the end.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "supervisor/ctl/answer_json.h"
#include "supervisor/ctl/progress_line.h"

namespace bitnetd::supervisor {

class RolloutWatch {
  public:
    // `progress` must outlive this.
    explicit RolloutWatch(ProgressLine& progress) : progress_(progress) {}

    // One line of JSON: a rollout as it stands.
    Result<void> take(std::string_view text, uint64_t now_ns);
    void take(Json rollout, uint64_t now_ns);

    // The latest of each rollout, in the order of their beginning; at most kRolloutsMax.
    const std::vector<Json>& rollouts() const { return rollouts_; }
    static constexpr size_t kRolloutsMax = 256;

  private:
    ProgressLine& progress_;
    std::vector<Json> rollouts_;
};

}  // namespace bitnetd::supervisor
