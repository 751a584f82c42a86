// The activations with which packed matrices are measured: normal values with a few outliers of ten
// standard deviations in every row, as trained models have them. Made from a number by arithmetic
// that has the same bits on every CPU, so that a model's figures are the same everywhere.
#pragma once

#include <cstdint>
#include <span>

namespace bitnetd::worker {

inline constexpr float kOutlier = 10.0f;       // in standard deviations, of either sign
inline constexpr int32_t kOutliersPerRow = 3;  // at most; places may coincide

// One row; different numbers give independent rows.
void fill_probe_row(uint64_t number, std::span<float> row);

}  // namespace bitnetd::worker
