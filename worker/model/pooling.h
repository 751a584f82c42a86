// Pooler: the hidden states of a text become its embedding (architectures.md section 7).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "shm/abi/weights_abi.h"

namespace bitnetd::worker {

class Pooler {
  public:
    // kMean or kLast; kNone counts as kLast.
    Pooler(shm::Pooling pooling, uint32_t hidden) : pooling_(pooling), sum_(hidden) {}

    // Forgets all tokens.
    void clear();
    // The normed hidden states of the next token, [hidden].
    void add(std::span<const float> hidden);

    // [hidden], as the model has it, not scaled to any length; at least one token was added.
    void write(std::span<float> out) const;

  private:
    shm::Pooling pooling_;
    std::vector<double> sum_;  // of all tokens, or the last one
    uint64_t count_ = 0;
};

}  // namespace bitnetd::worker
