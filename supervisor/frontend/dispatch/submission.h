// How a flight becomes request records (shm/abi/records.h): pure, so that tests can read them back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "shm/abi/records.h"
#include "supervisor/frontend/dispatch/flight.h"

namespace bitnetd::frontend {

struct OutRecord {
    shm::RecordType type = shm::RecordType::kPad;
    std::vector<std::byte> payload;
};

// The records of this attempt, in order: kSubmit, kSubmitBias, kSubmitMore... None is longer than
// payload_bytes_max (>= 256). A bias comes before the last ids, because the flight may be scheduled
// as soon as all ids are there.
std::vector<OutRecord> encode_submission(const Flight& flight, uint64_t now_ns,
                                         size_t payload_bytes_max);

OutRecord encode_cancel(uint64_t flight, uint32_t attempt);

}  // namespace bitnetd::frontend
