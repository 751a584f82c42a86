// What a canary is judged by: the ids that one generation drew. One is kept for a client's
// generation (of its first choice) and one for its copy; IdComparison compares them while both
// grow, so that only what one is ahead of the other is kept. Pure; loop thread only.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "supervisor/frontend/dispatch/flight.h"

namespace bitnetd::frontend {

class TokenTally {
  public:
    explicit TokenTally(bool keeps_ids) : keeps_ids_(keeps_ids) {}

    void start(uint64_t worker) { worker_ = worker; }
    void add(std::span<const Token> tokens) {
        if (is_over()) return;
        count_ += tokens.size();
        if (!keeps_ids_) return;
        for (const Token& token : tokens)
            ids_.push_back(token.id);
    }
    // The first end is the one that counts.
    void end(EndReason reason) {
        if (is_over()) return;
        end_ = reason;
        is_cut_ = reason == EndReason::kTimeout;
    }
    // A stop string was completed: the worker would have gone on.
    void stop() {
        if (!is_over()) end_ = EndReason::kStop, is_cut_ = true;
    }
    // Nobody wants the rest.
    void cut() { is_cut_ = is_cut_ || !end_; }

    bool is_over() const { return end_.has_value() || is_cut_; }
    bool is_cut() const { return is_cut_; }  // the worker would have gone on
    bool is_whole() const {
        return !is_cut_ && (end_ == EndReason::kStop || end_ == EndReason::kLength);
    }
    std::optional<EndReason> end() const { return end_; }
    uint64_t count() const { return count_; }
    uint64_t worker() const { return worker_; }  // that began it; 0: none yet
    // Those that came since the last call.
    std::vector<uint32_t> take_ids() { return std::exchange(ids_, {}); }

  private:
    const bool keeps_ids_;
    std::vector<uint32_t> ids_;
    uint64_t count_ = 0;
    uint64_t worker_ = 0;
    std::optional<EndReason> end_;
    bool is_cut_ = false;
};

// Two lists that grow at their ends, compared as far as both go.
class IdComparison {
  public:
    void add(std::span<const uint32_t> left, std::span<const uint32_t> right) {
        add(left, /*is_left=*/true);
        add(right, /*is_left=*/false);
    }
    bool differs() const { return differs_; }

  private:
    void add(std::span<const uint32_t> ids, bool is_left) {
        if (ids.empty() || differs_) return;
        if (ahead_at_ == ahead_.size()) is_left_ahead_ = is_left;
        for (const uint32_t id : ids) {
            if (is_left == is_left_ahead_) {
                ahead_.push_back(id);
            } else if (ahead_[ahead_at_++] != id) {
                differs_ = true;
                break;
            } else if (ahead_at_ == ahead_.size()) {  // and from here on this one is
                is_left_ahead_ = is_left;
                ahead_.clear();
                ahead_at_ = 0;
            }
        }
    }

    std::vector<uint32_t> ahead_;
    size_t ahead_at_ = 0;
    bool is_left_ahead_ = true;
    bool differs_ = false;
};

}  // namespace bitnetd::frontend
