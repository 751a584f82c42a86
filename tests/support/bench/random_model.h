// A model file of a given shape with random weights, in seconds: what a GGUF file of such a model
// has, so that the loader takes it and bitnetd serves it. It says nothing sensible, at the speed of
// one that does. The vocabulary is whole: any text has ids, most words one to each four letters.
#pragma once

#include <cstdint>

#include "common/base/result.h"
#include "tests/support/bench/model_shape.h"

namespace bitnetd::bench {

// Writes from the file's present position on. The same bytes for the same shape and seed.
Result<void> write_random_model(const ModelShape& shape, uint64_t seed, int fd);

}  // namespace bitnetd::bench
