// Where a token is drawn, so that ids come back from the device and not a vocabulary of logits:
// among the largest logits (greedy, top_k), which the device finds and the host's sampler draws
// from; on the device, where the draw is plain; else from all logits of the row, on the host. All
// three give the same token. Pure.
#pragma once

#include <cstdint>

#include "worker/kernels/cuda/cuda_kernels.h"
#include "worker/model/engine.h"

namespace bitnetd::worker {

enum class DrawPlace : uint8_t { kLargest, kDevice, kAllLogits };

struct DrawWay {
    DrawPlace place;
    uint32_t largest;  // of kLargest: how many, at most kernels::cuda::kLargestMax
};

DrawWay way_of(const Draw& draw, uint32_t vocab) noexcept;

// Of kDevice.
kernels::cuda::PlainDraw plain_draw(const Draw& draw) noexcept;

}  // namespace bitnetd::worker
