#include "supervisor/frontend/api/rollout_book.h"

#include <charconv>
#include <iterator>

#include "shm/control/text_field.h"

namespace bitnetd::frontend {
namespace {

constexpr std::string_view kPrefix = "rollout-";

}  // namespace

void RolloutBook::put(const shm::RolloutMessage& rollout) {
    rollouts_.insert_or_assign(rollout.number, rollout);
    if (rollouts_.size() > kKeptMax) rollouts_.erase(std::prev(rollouts_.end()));
}

const shm::RolloutMessage* RolloutBook::find(uint64_t number) const {
    const auto found = rollouts_.find(number);
    return found == rollouts_.end() ? nullptr : &found->second;
}

const shm::RolloutMessage* RolloutBook::find_model(std::string_view id) const {
    for (const auto& [number, rollout] : rollouts_) {
        if (shm::field_text(rollout.model) == id) return &rollout;
    }
    return nullptr;
}

std::string rollout_name(uint64_t number) {
    return std::string(kPrefix) + std::to_string(number);
}

std::optional<uint64_t> rollout_number(std::string_view name) {
    if (!name.starts_with(kPrefix)) return std::nullopt;
    const std::string_view digits = name.substr(kPrefix.size());
    uint64_t number = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (rollout_name(number) != name) return std::nullopt;
    return number;
}

}  // namespace bitnetd::frontend
