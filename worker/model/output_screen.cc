#include "worker/model/output_screen.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "worker/kernels/block_format.h"

namespace bitnetd::worker {
namespace {

constexpr float kRuledOut = -std::numeric_limits<float>::infinity();
constexpr int64_t kIdsTogether = 1024;  // their products are still in the cache when looked at

size_t elements(uint32_t rows, int32_t columns) {
    return rows * static_cast<size_t>(columns);
}

float rounded_up(double value) {
    return std::nextafter(static_cast<float>(value), std::numeric_limits<float>::infinity());
}

}  // namespace

OutputScreen::OutputScreen(const WeightsView& weights, const kernels::KernelTable& kernels,
                           Phases& phases, uint32_t rows_max)
    : weights_(weights),
      kernels_(kernels),
      phases_(phases),
      hidden_(static_cast<int32_t>(weights.header.hidden)) {
    if (!is_there()) return;
    values_ = AlignedArray<int8_t>(elements(rows_max, hidden_));
    factors_ = AlignedArray<float>(elements(rows_max, hidden_ / kernels::kTileColumns));
    sums_ = AlignedArray<int32_t>(elements(rows_max, hidden_ / 16));
    margins_.resize(rows_max);
    thresholds_.resize(rows_max);
    const auto threads = static_cast<size_t>(phases.threads());
    bounds_.resize(rows_max * threads);
    all_bounds_.reserve(threads * kLargestMax);
}

void OutputScreen::Bounds::keep(float bound, uint32_t largest) noexcept {
    const auto least_first = std::greater<float>();
    if (count < largest) {
        values[count++] = bound;
        std::push_heap(values, values + count, least_first);
    } else if (bound > values[0]) {
        std::pop_heap(values, values + count, least_first);
        values[count - 1] = bound;
        std::push_heap(values, values + count, least_first);
    }
}

void OutputScreen::round_inputs(int32_t rows, const float* x) noexcept {
    kernels_.quantise_blocks(rows, hidden_, x, hidden_, values_.data(), factors_.data(),
                             sums_.data());
    const double g = (hidden_ + 64) * 0x1p-23;
    for (int64_t i = 0; i < rows; ++i) {
        double norm = 0;
        double error = 0;
        for (int64_t t = 0; t < hidden_; ++t) {
            const double value = x[i * hidden_ + t];
            const double factor = factors_.data()[(i * hidden_ + t) / kernels::kTileColumns];
            const double rest = value - values_.data()[i * hidden_ + t] * factor;
            norm += value * value;
            error += rest * rest;
        }
        norm = std::sqrt(norm);
        error = std::sqrt(error);
        const double rounding = g * (norm + error);
        margins_[static_cast<size_t>(i)] = {rounded_up(norm + rounding),
                                            rounded_up(error + rounding)};
    }
}

void OutputScreen::note_bounds(const Margin& margin, const float* y, Range ids, uint32_t largest,
                               Bounds& bounds) const noexcept {
    for (int64_t id = ids.begin; id < ids.end; ++id) {
        const float bound = y[id] - margin_of(margin, id);
        // What is not a number rules nothing out.
        bounds.keep(bound > kRuledOut ? bound : kRuledOut, largest);
    }
}

float OutputScreen::threshold(size_t row, uint32_t largest) noexcept {
    all_bounds_.clear();
    for (int thread = 0; thread < phases_.threads(); ++thread) {
        const Bounds& bounds = bounds_of(row, thread);
        all_bounds_.insert(all_bounds_.end(), bounds.values, bounds.values + bounds.count);
    }
    if (all_bounds_.size() < largest) return kRuledOut;
    const auto at = all_bounds_.begin() + (largest - 1);
    std::nth_element(all_bounds_.begin(), at, all_bounds_.end(), std::greater<float>());
    return *at;
}

void OutputScreen::settle(const Margin& margin, float least, const float* x, float* y,
                          Range ids) const noexcept {
    for (int64_t id = ids.begin; id < ids.end; ++id) {
        if (y[id] + margin_of(margin, id) < least) {
            y[id] = kRuledOut;
        } else {
            multiply_floats(kernels_, 1, weights_.output, {id, id + 1}, x, y,
                            weights_.output.outputs);
        }
    }
}

void OutputScreen::logits(std::span<const uint32_t> largest, const float* x, float* y) noexcept {
    const auto rows = static_cast<int32_t>(largest.size());
    const Linear& codes = weights_.screen.codes;
    const int64_t vocab = codes.outputs;
    round_inputs(rows, x);
    for (size_t i = 0; i < largest.size(); ++i) {
        for (int thread = 0; thread < phases_.threads(); ++thread)
            bounds_of(i, thread).count = 0;
    }
    phases_.deal(rows * vocab * hidden_, [&](int thread, const Share& share) {
        const Range mine = share.of(vocab, kernels::kStripeRows);
        for (int64_t first = mine.begin; first < mine.end; first += kIdsTogether) {
            const Range ids{first, std::min(first + kIdsTogether, mine.end)};
            const auto* stripes = reinterpret_cast<const uint8_t*>(codes.weights) +
                                  kernels::block_matrix_bytes(codes.block_format, first, hidden_);
            kernels_.block_gemm(codes.block_format, rows, static_cast<int32_t>(ids.count()),
                                hidden_, values_.data(), factors_.data(), sums_.data(), stripes,
                                y + first, vocab);
            for (size_t i = 0; i < largest.size(); ++i) {
                note_bounds(margins_[i], y + static_cast<int64_t>(i) * vocab, ids, largest[i],
                            bounds_of(i, thread));
            }
        }
    });
    for (size_t i = 0; i < largest.size(); ++i)
        thresholds_[i] = threshold(i, largest[i]);
    phases_.run(rows * vocab * kDrawWork, [&](int part, int parts) {
        const Range ids = slice(vocab, parts, part);
        for (size_t i = 0; i < largest.size(); ++i) {
            settle(margins_[i], thresholds_[i], x + i * static_cast<size_t>(hidden_),
                   y + static_cast<int64_t>(i) * vocab, ids);
        }
    });
}

}  // namespace bitnetd::worker
