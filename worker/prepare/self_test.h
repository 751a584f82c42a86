// The self-test of a packed model: a short fixed prompt goes through the whole engine on two kernel
// tables. Both promise the same bits (float class f32x16), so one difference means that an
// instruction set computes something else with these weights; and a model whose logits are not
// finite says nothing. Loader process and tests; one sequence in memory of its own, on the
// threads of a pool or, without one, on the calling thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "worker/kernels/kernel_api.h"
#include "worker/model/weights_view.h"
#include "worker/topology/thread_pool.h"

namespace bitnetd::worker {

inline constexpr uint32_t kSelfTestIds = 8;

// Ids spread evenly over the vocabulary, low ones first.
std::array<uint32_t, kSelfTestIds> self_test_ids(uint32_t vocab);

// The hidden states of all positions of the prompt behind the last norm, then the logits after it.
// Of a model for fewer positions than the prompt has, of its first ones. The error names the table
// and the first value that is not finite.
Result<std::vector<float>> self_test_values(const WeightsView& weights,
                                            const kernels::KernelTable& table,
                                            ThreadPool* pool = nullptr);

// Runs the prompt on both tables. The error names both, and the first value in which they differ.
Result<void> compare_tables(const WeightsView& weights, const kernels::KernelTable& table,
                            const kernels::KernelTable& other, ThreadPool* pool = nullptr);

// The table to compare `table` with: the best other one that this CPU has, that can compute them
// and passes its self-check, "scalar" only with `scalar_too` (it needs seconds per billion weights
// and id). Null when there is none.
const kernels::KernelTable* table_to_compare(const WeightsView& weights,
                                             const kernels::KernelTable& table, bool scalar_too);

}  // namespace bitnetd::worker
