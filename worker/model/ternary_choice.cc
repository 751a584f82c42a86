#include "worker/model/ternary_choice.h"

#include <algorithm>
#include <limits>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "shm/control/text_field.h"
#include "worker/model/aligned_array.h"
#include "worker/model/weights_view.h"

namespace bitnetd::worker {
namespace {

using kernels::TernaryGemm;
using kernels::TernaryWay;

// Ways are compared at these numbers of rows; beyond the last the table's own order holds.
constexpr std::array<int32_t, 12> kRows = {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64};
constexpr int32_t kRowsMax = kRows.back();
constexpr int32_t kOutputsMax = 1024;  // a part of the matrix is enough
constexpr int kRuns = 5;               // the fastest counts: others may use the core meanwhile

// The model's largest ternary matrix, since most of the time goes there; null if there is none.
const Linear* largest_ternary(const WeightsView& weights) {
    const Linear* largest = nullptr;
    const auto area = [](const Linear& w) { return int64_t{w.outputs} * w.inputs; };
    const LayerWeights& layer = weights.layers.front();
    for (const Linear* w : {&layer.q, &layer.attn_output, &layer.gate, &layer.up, &layer.down}) {
        if (w->weights == nullptr || w->packing != shm::Packing::kTernary2Bit) continue;
        if (largest == nullptr || area(*w) > area(*largest)) largest = w;
    }
    return largest;
}

class Stopwatch {
  public:
    explicit Stopwatch(const Linear& w)
        : w_(w),
          padded_(static_cast<int32_t>(kernels::ternary_padded(w.inputs))),
          outputs_(std::min(w.outputs, kOutputsMax)),
          q_(size_t{kRowsMax} * static_cast<size_t>(padded_)),
          sums_(kRowsMax),
          scales_(kRowsMax),
          y_(size_t{kRowsMax} * static_cast<size_t>(outputs_)) {
        std::ranges::fill(scales_.span(), 1.0f);
        // Any values do: no kernel's time depends on them.
        for (size_t i = 0; i < q_.span().size(); ++i)
            q_.data()[i] = static_cast<int8_t>(i % 251);
    }

    uint64_t fastest_ns(TernaryGemm run, int32_t m) {
        uint64_t fastest = std::numeric_limits<uint64_t>::max();
        for (int i = 0; i < kRuns; ++i) {
            const uint64_t begun = monotonic_ns();
            run(m, outputs_, padded_, q_.data(), sums_.data(), scales_.data(),
                reinterpret_cast<const uint8_t*>(w_.weights), w_.scale, y_.data(), outputs_);
            fastest = std::min(fastest, monotonic_ns() - begun);
        }
        return fastest;
    }

  private:
    const Linear& w_;
    const int32_t padded_;
    const int32_t outputs_;
    AlignedArray<int8_t> q_;
    AlignedArray<int32_t> sums_;
    AlignedArray<float> scales_;
    AlignedArray<float> y_;
};

}  // namespace

TernaryChoice::TernaryChoice(const kernels::KernelTable& kernels,
                             const shm::TernaryTuning& tuning) {
    const bool measured = shm::field_text(tuning.kernel_isa) == std::string_view(kernels.name);
    for (size_t i = 0; i < kernels::kTernaryWaysMax; ++i) {
        const TernaryWay& way = kernels.ternary_ways[i];
        if (way.run == nullptr) break;
        const auto from = measured ? static_cast<int32_t>(tuning.rows_from[i]) : way.rows_from;
        run_[count_] = way.run;
        rows_from_[count_++] = from;
        text_ += (text_.empty() ? "" : ", ") + std::string(way.name) + " " + std::to_string(from);
    }
}

shm::TernaryTuning measure_ternary_ways(const WeightsView& weights,
                                        const kernels::KernelTable& kernels) {
    shm::TernaryTuning tuning{};
    const Linear* const w = largest_ternary(weights);
    if (w == nullptr || kernels.ternary_ways[1].run == nullptr) return tuning;
    Stopwatch watch(*w);
    // The fastest so far, per entry of kRows; each further way takes over from the first number of
    // rows from which on it is the faster one throughout.
    std::array<uint64_t, kRows.size()> fastest{};
    for (size_t r = 0; r < kRows.size(); ++r)
        fastest[r] = watch.fastest_ns(kernels.ternary_ways[0].run, kRows[r]);
    shm::set_field(tuning.kernel_isa, kernels.name);
    tuning.rows_from[0] = 1;
    for (size_t i = 1; i < kernels::kTernaryWaysMax; ++i) {
        const TernaryWay& way = kernels.ternary_ways[i];
        if (way.run == nullptr) continue;
        tuning.rows_from[i] = kRowsMax + 1;
        for (size_t r = kRows.size(); r-- > 0;) {
            const uint64_t ns = watch.fastest_ns(way.run, kRows[r]);
            if (ns >= fastest[r]) break;
            fastest[r] = ns;
            tuning.rows_from[i] = static_cast<uint32_t>(kRows[r]);
        }
    }
    return tuning;
}

}  // namespace bitnetd::worker
