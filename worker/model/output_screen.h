// Which logits can be among the largest, told from the output matrix in eight bits, so that the
// matrix itself is read for those few rows only: half as many bytes of a 16-bit matrix, and the
// same token.
//
// With w a row of the matrix, v the same row as the screen holds it, x an input and q that input as
// rounded for block_gemm, the exact logit lies within
//   |x.w - q.v| <= |x| |w - v| + |x - q| |v|                         (Cauchy, Schwarz)
// of the screen's product, and the float arithmetic of both adds at most g (|x| + |x - q|)(|v| +
// |w - v|) with g = (hidden + 64) 2^-23: each of at most `hidden` roundings on the way to a sum is
// 2^-24 of the terms' magnitudes, and the rest of g is for the bound's own arithmetic. |w - v| and
// |v| are in the weights segment, rounded up. The bound holds for every input; where something is
// not finite, nothing is ruled out. Loop thread only; the phases use the pool.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "worker/kernels/kernel_api.h"
#include "worker/model/aligned_array.h"
#include "worker/model/linear.h"
#include "worker/model/phases.h"
#include "worker/model/weights_view.h"

namespace bitnetd::worker {

class OutputScreen {
  public:
    // As many of the largest logits can be asked for.
    static constexpr uint32_t kLargestMax = 128;

    // All of them outlive the screen. Allocates here only.
    OutputScreen(const WeightsView& weights, const kernels::KernelTable& kernels, Phases& phases,
                 uint32_t rows_max);

    // Whether the model has what it takes.
    bool is_there() const { return weights_.screen.codes.weights != nullptr; }

    // Of row i of x [rows][hidden], those logits that may be among its largest[i] (1 ..
    // kLargestMax) largest ones, ties included, exactly as multiply_floats() makes them; -infinity
    // for all others. y [rows][vocab].
    void logits(std::span<const uint32_t> largest, const float* x, float* y) noexcept;

  private:
    // A logit is within of_error * |w - v| + of_norm * |v| of the screen's product.
    struct Margin {
        float of_error;
        float of_norm;
    };
    // The largest lower bounds that one part found for one row, as a heap with the least in front.
    struct Bounds {
        uint32_t count = 0;
        float values[kLargestMax];

        void keep(float bound, uint32_t largest) noexcept;
    };

    void round_inputs(int32_t rows, const float* x) noexcept;
    float margin_of(const Margin& margin, int64_t id) const noexcept {
        const float* errors = weights_.screen.errors + 2 * id;
        return margin.of_error * errors[0] + margin.of_norm * errors[1];
    }
    void note_bounds(const Margin& margin, const float* y, Range ids, uint32_t largest,
                     Bounds& bounds) const noexcept;
    Bounds& bounds_of(size_t row, int part) noexcept {
        return bounds_[row * static_cast<size_t>(phases_.threads()) + static_cast<size_t>(part)];
    }
    // The `largest`th of all parts' bounds: at least that many logits are not below it.
    float threshold(size_t row, uint32_t largest) noexcept;
    void settle(const Margin& margin, float least, const float* x, float* y,
                Range ids) const noexcept;

    const WeightsView& weights_;
    const kernels::KernelTable& kernels_;
    Phases& phases_;
    const int32_t hidden_;
    AlignedArray<int8_t> values_;    // [rows][hidden], as quantise_blocks makes them
    AlignedArray<float> factors_;    // [rows][hidden / 32]
    AlignedArray<int32_t> sums_;     // [rows][hidden / 16]
    std::vector<Margin> margins_;    // [rows]
    std::vector<float> thresholds_;  // [rows]: what a logit must be able to reach
    std::vector<Bounds> bounds_;     // [rows][threads]
    std::vector<float> all_bounds_;  // [threads * kLargestMax], of one row
};

}  // namespace bitnetd::worker
