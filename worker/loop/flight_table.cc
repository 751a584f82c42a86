#include "worker/loop/flight_table.h"

#include "common/base/check.h"

namespace bitnetd::worker {

FlightTable::FlightTable(Scheduler& scheduler, uint32_t slots_max, uint32_t context_max)
    : scheduler_(scheduler),
      context_max_(context_max),
      flights_(slots_max),
      ids_(size_t{slots_max} * context_max),
      bias_(size_t{slots_max} * shm::kLogitBiasMax) {}

std::optional<uint32_t> FlightTable::take(uint32_t peer, uint64_t name, uint32_t attempt) {
    for (uint32_t slot = 0; slot < flights_.size(); ++slot) {
        if (flights_[slot].state != Flight::State::kFree) continue;
        flights_[slot] = Flight{};
        flights_[slot].state = Flight::State::kArriving;
        flights_[slot].peer = peer;
        flights_[slot].name = name;
        flights_[slot].attempt = attempt;
        ++used_;
        return slot;
    }
    return std::nullopt;
}

std::optional<uint32_t> FlightTable::find(uint32_t peer, uint64_t name) const {
    for (uint32_t slot = 0; slot < flights_.size(); ++slot) {
        const Flight& flight = flights_[slot];
        if (flight.state != Flight::State::kFree && flight.peer == peer && flight.name == name) {
            return slot;
        }
    }
    return std::nullopt;
}

uint32_t FlightTable::count_of(uint32_t peer) const {
    uint32_t count = 0;
    for (const Flight& flight : flights_) {
        if (flight.state != Flight::State::kFree && flight.peer == peer) ++count;
    }
    return count;
}

void FlightTable::append_id(uint32_t slot, uint32_t id) {
    Flight& flight = flights_[slot];
    BITNETD_CHECK(flight.id_count < context_max_);
    ids_.data()[size_t{slot} * context_max_ + flight.id_count++] = id;
}

void FlightTable::append_bias(uint32_t slot, const shm::LogitBias& bias) {
    Flight& flight = flights_[slot];
    BITNETD_CHECK(flight.bias_count < shm::kLogitBiasMax);
    bias_.data()[size_t{slot} * shm::kLogitBiasMax + flight.bias_count++] = bias;
}

std::span<const uint32_t> FlightTable::ids(uint32_t slot) const {
    return {ids_.data() + size_t{slot} * context_max_, flights_[slot].id_count};
}

std::span<uint32_t> FlightTable::id_memory(uint32_t slot) {
    return {ids_.data() + size_t{slot} * context_max_, context_max_};
}

std::span<const shm::LogitBias> FlightTable::bias(uint32_t slot) const {
    return {bias_.data() + size_t{slot} * shm::kLogitBiasMax, flights_[slot].bias_count};
}

void FlightTable::schedule(uint32_t slot) {
    Flight& flight = flights_[slot];
    BITNETD_CHECK(flight.state == Flight::State::kArriving);
    flight.state = Flight::State::kScheduled;
    const bool has_results = flight.results.are_wanted();
    scheduler_.submit(slot, {.priority = flight.priority,
                             .id_count = flight.id_count,
                             .position_limit = flight.position_limit,
                             .ids = id_memory(slot).data(),
                             .needs_all_rows = has_results,
                             .chunk_max = has_results ? kResultRowsMax : UINT32_MAX});
}

void FlightTable::end(uint32_t slot) {
    Flight& flight = flights_[slot];
    if (flight.state == Flight::State::kScheduled) scheduler_.end(slot);
    flight.state = Flight::State::kEnded;
}

void FlightTable::free(uint32_t slot) {
    end(slot);
    flights_[slot].state = Flight::State::kFree;
    --used_;
}

}  // namespace bitnetd::worker
