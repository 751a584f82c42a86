// What was rolled out, and how it ended: the last few, newest first; on disk where there is a state
// directory, one JSON object per line, so that a rollback knows what an id served before the server
// was restarted.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <string>

#include "common/base/result.h"
#include "shm/abi/rollout_abi.h"

namespace bitnetd::supervisor {

inline constexpr size_t kHistoryMax = 64;

struct RolloutRecord {
    shm::RolloutMessage message{};
    std::string old_path;  // of a model that was replaced or removed
    std::string old_digest;
    std::string new_path;
};

class RolloutHistory {
  public:
    // Reads what `directory` holds; lines that make no sense are passed over with a log line, and
    // of more than kHistoryMax the older ones are taken out. An empty name: in memory only.
    Result<void> open(const std::string& directory);

    uint64_t next_number() { return ++last_number_; }
    void continue_numbers_at(uint64_t last) { last_number_ = std::max(last_number_, last); }
    uint64_t last_number() const { return last_number_; }

    // One that is over. A disk that does not take it is a log line, not a failure.
    void add(RolloutRecord record);
    const std::deque<RolloutRecord>& records() const { return records_; }

    // What the id served before its last completed swap; null: nothing is known.
    const RolloutRecord* last_replacement(std::string_view model) const;

  private:
    void shorten();
    void append_to_disk(const RolloutRecord& record);

    std::string path_;
    std::deque<RolloutRecord> records_;
    uint64_t last_number_ = 0;
};

}  // namespace bitnetd::supervisor
