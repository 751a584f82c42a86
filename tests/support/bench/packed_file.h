// A model file made into the memory that workers compute with, as the loader does it: the same
// packing, the same kind of memory, gathered into huge pages.
#pragma once

#include <span>

#include "common/base/fd.h"
#include "common/base/result.h"
#include "shm/segment/segment.h"
#include "worker/prepare/prepare.h"

namespace bitnetd::bench {

// Takes the GGUF file over and closes it.
Result<shm::Segment> pack_file(Fd file, const worker::PrepareOptions& options);

// Memory as the supervisor makes it for keys and values; written once, so that no page is made
// while it is measured.
Result<shm::Segment> make_arena(uint64_t bytes);

// What a step must read of it, and compute, whatever the step is made of.
struct StepCosts {
    double layer_bytes = 0;           // weights and norms of all layers
    double output_bytes = 0;          // of the output matrix: its screen where it has one
    double layer_multiply_adds = 0;   // per row
    double output_multiply_adds = 0;  // per row that draws
};
StepCosts costs_of(std::span<const std::byte> weights);

}  // namespace bitnetd::bench
