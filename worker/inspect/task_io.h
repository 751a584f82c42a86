// What a task reads and writes beside the model: descriptors that bitnetctl made.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace bitnetd::worker {

// How far a task is; `total` is not 0. Called often: the receiver decides what to pass on.
using TaskProgress =
    std::function<void(std::string_view phase, uint64_t done_bytes, uint64_t total_bytes)>;

// All of a file; more than `bytes_max` is refused. `what` names it in errors.
Result<std::string> read_input(int fd, std::string_view what, uint64_t bytes_max);

// Appends to a file at its position. The error says so when the disk is full.
Result<void> write_output(int fd, std::span<const std::byte> bytes);
Result<void> write_output(int fd, std::string_view text);

}  // namespace bitnetd::worker
