// What bitnet-shmdump shows of a segment: a read-only, bounded look at memory that a live, dead or
// hostile process wrote. Nothing is changed, every count is checked before use, and token ids are
// left out: they are a client's text in other words.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "common/base/result.h"

namespace bitnetd::shm {

// Pending records listed one by one; more are only counted.
inline constexpr size_t kRecordsShownMax = 64;

// A ring: capacity, indices, incarnations, and the records between head and tail, decoded by type.
// Of a ring in use this is a moment's view. A ring whose contents make no sense is shown as far as
// they do, with "broken" saying where that ends; kInvalid when it is no ring at all.
Result<nlohmann::ordered_json> inspect_ring(std::span<const std::byte> memory);

// A board: who, state, age of the heartbeat at `now_ns`, last words, and every value that is not
// zero.
Result<nlohmann::ordered_json> inspect_board(std::span<const std::byte> memory, uint64_t now_ns);

// All segments of the server that listens on `control_path`, one element each: name, kind,
// incarnation, alive, and contents or error. Gives up after five seconds.
Result<nlohmann::ordered_json> inspect_server(const std::string& control_path);

// One of the objects above for people: indented "name value" lines, records one a line.
std::string to_text(const nlohmann::ordered_json& value, size_t indent = 0);

}  // namespace bitnetd::shm
