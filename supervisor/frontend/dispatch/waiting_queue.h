// Flights that wait for a worker, by model. Within a model: first what a lost worker had, in the
// order it was admitted; then by time of admission, where each step of priority counts as ten
// seconds, so that low priority waits longer but not for ever. Flights that must run alone wait
// apart. Holds pointers only; the dispatcher owns the flights and removes them here before they
// end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "supervisor/frontend/dispatch/flight.h"

namespace bitnetd::frontend {

class WaitingQueue {
  public:
    static constexpr uint64_t kPriorityStepNs = 10 * kNsPerS;

    void add(Flight& flight);       // newly admitted
    void put_back(Flight& flight);  // had a worker: ahead of all that had none
    void remove(Flight& flight);    // does nothing when it does not wait

    size_t size() const { return size_; }
    std::vector<uint64_t> models() const;  // those with waiting flights

    // How many of a model go before one that is added now.
    size_t ahead(uint64_t model_key, Priority priority, uint64_t now_ns) const;
    // The next one of a model, or null.
    Flight* next(uint64_t model_key) const;
    // Those that must run alone, in order.
    std::vector<Flight*> alone(uint64_t model_key) const;
    // All of a model.
    std::vector<Flight*> all(uint64_t model_key) const;

  private:
    using Key = std::pair<uint64_t, uint64_t>;  // queue_rank, id
    using Line = std::map<Key, Flight*>;
    struct Lines {
        Line normal;
        Line alone;
    };

    static uint64_t rank_of(Priority priority, uint64_t admitted_ns) {
        return admitted_ns + kPriorityStepNs * static_cast<uint64_t>(priority);
    }
    void insert(Flight& flight);

    std::map<uint64_t, Lines> models_;
    size_t size_ = 0;
};

}  // namespace bitnetd::frontend
