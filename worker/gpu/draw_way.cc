#include "worker/gpu/draw_way.h"

#include <algorithm>

#include "shm/abi/weights_abi.h"

namespace bitnetd::worker {
namespace {

using kernels::cuda::PlainDraw;

static_assert(kernels::cuda::kMaskedMax >= shm::kEndIdsMax);

bool is_plain(const SamplingParams& params, const DrawContext& context, uint32_t vocab) {
    return context.bias.empty() && !has_penalties(params) && !params.wants_logprobs &&
           params.temperature > 0 && !has_filters(params, vocab) &&
           (!params.ignore_eos || context.end_ids.size() <= kernels::cuda::kMaskedMax);
}

}  // namespace

DrawWay way_of(const Draw& draw, uint32_t vocab) noexcept {
    if (draw.is_score) return {DrawPlace::kAllLogits, 0};
    if (is_plain(*draw.params, draw.context, vocab)) return {DrawPlace::kDevice, 0};
    const uint32_t largest = Sampler::largest_needed(*draw.params, draw.context);
    if (largest == 0 || largest > kernels::cuda::kLargestMax) return {DrawPlace::kAllLogits, 0};
    return {DrawPlace::kLargest, largest};
}

PlainDraw plain_draw(const Draw& draw) noexcept {
    PlainDraw plain{};
    plain.temperature = draw.params->temperature;
    plain.position = static_cast<uint32_t>(draw.context.ids.size());
    plain.seed = draw.params->seed;
    if (draw.params->ignore_eos) {
        plain.masked_count = static_cast<uint32_t>(draw.context.end_ids.size());
        std::ranges::copy(draw.context.end_ids, plain.masked);
    }
    return plain;
}

}  // namespace bitnetd::worker
