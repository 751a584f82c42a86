// What this frontend knows of rollouts: the last word of the supervisor on each of the newest. The
// history that outlives processes is the supervisor's. Loop thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "shm/abi/rollout_abi.h"

namespace bitnetd::frontend {

class RolloutBook {
  public:
    static constexpr size_t kKeptMax = 64;

    // By number; a later word on the same one replaces the earlier.
    using Newest = std::map<uint64_t, shm::RolloutMessage, std::greater<>>;

    void put(const shm::RolloutMessage& rollout);
    // Null: not heard of, or more than kKeptMax ago.
    const shm::RolloutMessage* find(uint64_t number) const;
    // The newest one about a model. Null: none.
    const shm::RolloutMessage* find_model(std::string_view id) const;
    const Newest& newest_first() const { return rollouts_; }

  private:
    Newest rollouts_;
};

// "rollout-7", and back; nothing when `name` is not written exactly so.
std::string rollout_name(uint64_t number);
std::optional<uint64_t> rollout_number(std::string_view name);

}  // namespace bitnetd::frontend
