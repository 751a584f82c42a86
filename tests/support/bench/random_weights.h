// Random bytes of tensors: valid codes of their type, values of about the size that trained weights
// have, so that no layer overflows. A gigabyte a second or so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "common/base/result.h"
#include "common/quant/quant_types.h"

namespace bitnetd::bench {

// A good and fast sequence of 64-bit numbers (splitmix64).
class FastRandom {
  public:
    explicit FastRandom(uint64_t seed) : state_(seed) {}
    uint64_t next() noexcept {
        uint64_t z = (state_ += 0x9E3779B97F4A7C15);
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

  private:
    uint64_t state_;
};

using Sink = std::function<Result<void>(std::span<const std::byte>)>;

// Gives all bytes of a matrix to `sink`, in parts. Ternary weights are zero half of the time; their
// scale, and the spread of other types, is such that an input of size 1 gives outputs of size 1.
// Types: I2_S, IQ2_BN, F16, BF16, Q8_0, Q4_K, Q6_K.
Result<void> random_matrix(quant::Type type, quant::Shape shape, FastRandom& random,
                           const Sink& sink);

// `count` floats from 0.5 to 1.5: the weights of a norm.
Result<void> random_norm(uint64_t count, FastRandom& random, const Sink& sink);

}  // namespace bitnetd::bench
