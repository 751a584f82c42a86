#include "worker/prepare/accuracy_check.h"

#include <algorithm>
#include <cstdio>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/log/log.h"
#include "shm/control/text_field.h"
#include "worker/kernels/dispatch.h"
#include "worker/prepare/self_test.h"

namespace bitnetd::worker {
namespace {

// Of the check; the rest is the self-test.
constexpr uint64_t kMeasurePercent = 40;
constexpr uint64_t kSecondPercent = 20;
constexpr uint32_t kFirstDraw = 0;
constexpr uint32_t kSecondDraw = 1;
// A second on the scalar table at most.
constexpr uint64_t kScalarParametersMax = 1u << 24;

std::string ratios_text(std::span<const MatrixAccuracy> worst) {
    std::string out;
    for (const MatrixAccuracy& matrix : worst) {
        char ratio[32];
        std::snprintf(ratio, sizeof ratio, "=%.6f", matrix.ratio);
        out += (out.empty() ? "" : " ") + std::string(quant::name_of(matrix.type)) + ratio;
    }
    return out;
}

const MatrixAccuracy& lowest(std::span<const MatrixAccuracy> worst) {
    return *std::min_element(worst.begin(), worst.end(),
                             [](const auto& a, const auto& b) { return a.ratio < b.ratio; });
}

// other: may be null.
Result<void> self_test(const WeightsView& weights, const kernels::KernelTable& table,
                       const kernels::KernelTable* other, ThreadPool* pool) {
    const uint64_t started_ns = monotonic_ns();
    if (other == nullptr) {
        BITNETD_TRY(self_test_values(weights, table, pool));
        log::info("self_test", {{"table", table.name},
                                {"compared", "nothing"},
                                {"reason", "no other table here can, fast enough"}});
        return {};
    }
    BITNETD_TRY(compare_tables(weights, table, *other, pool));
    log::info("self_test", {{"table", table.name},
                            {"compared", other->name},
                            {"ms", (monotonic_ns() - started_ns) / kNsPerMs}});
    return {};
}

}  // namespace

Result<CheckedAccuracy> check_packed(const Preparation& preparation,
                                     std::span<const std::byte> segment,
                                     const AccuracyOptions& options, ThreadPool* pool,
                                     const PercentSink& percent) {
    BITNETD_ASSIGN(const WeightsView weights,
                   open_weights(segment, options.block_inputs, options.bf16_inputs));
    const kernels::KernelTable& table =
        options.table != nullptr ? *options.table : kernels::select(options.kernel_isa);
    BITNETD_TRY(check_table(weights, table));
    const uint64_t started_ns = monotonic_ns();
    const auto progress = [&](uint64_t from_percent, uint64_t share_percent) {
        return [&, from_percent, share_percent](uint64_t done_bytes, uint64_t total_bytes) {
            if (!percent) return;
            percent(static_cast<uint32_t>(from_percent + share_percent * done_bytes / total_bytes));
        };
    };
    CheckedAccuracy out;
    BITNETD_ASSIGN(out.matrices,
                   measure_accuracy(preparation.input(), preparation.plan(), weights,
                                    {table, Coverage::kSampled, progress(0, kMeasurePercent), pool,
                                     kFirstDraw}));
    const auto worst = worst_by_type(out.matrices);
    log::info("accuracy", {{"ratios", ratios_text(worst)},
                           {"lowest", lowest(worst).tensor},
                           {"table", table.name},
                           {"ms", (monotonic_ns() - started_ns) / kNsPerMs}});
    BITNETD_TRY(judge_accuracy(out.matrices, options.minima));
    const bool scalar_too = preparation.plan().parameter_count <= kScalarParametersMax;
    const kernels::KernelTable* other = table_to_compare(weights, table, scalar_too);
    const kernels::KernelTable& second = other != nullptr ? *other : table;
    BITNETD_ASSIGN(
        const auto again,
        measure_accuracy(preparation.input(), preparation.plan(), weights,
                         {second, Coverage::kSampled, progress(kMeasurePercent, kSecondPercent),
                          pool, kSecondDraw}));
    out.cross_validation = lowest(again).ratio;
    log::info("cross_validation", {{"ratio", out.cross_validation},
                                   {"lowest", lowest(again).tensor},
                                   {"table", second.name}});
    auto tested = self_test(weights, table, other, pool);
    if (!tested.ok()) return std::move(tested).error().within("self-test");
    return out;
}

void set_accuracy(shm::ModelFacts& facts, const CheckedAccuracy& accuracy) {
    const auto worst = worst_by_type(accuracy.matrices);
    BITNETD_CHECK(worst.size() <= shm::kModelTypesMax);
    facts.accuracy_count = static_cast<uint32_t>(worst.size());
    for (size_t i = 0; i < worst.size(); ++i) {
        shm::set_field(facts.accuracy[i].type, quant::name_of(worst[i].type));
        facts.accuracy[i].ratio = static_cast<float>(worst[i].ratio);
    }
    facts.cross_validation = static_cast<float>(accuracy.cross_validation);
}

Result<FullAccuracy> full_accuracy(
    const Preparation& preparation, std::span<const std::byte> segment,
    const AccuracyOptions& options,
    const std::function<void(uint64_t done_bytes, uint64_t total_bytes)>& progress) {
    BITNETD_ASSIGN(const WeightsView weights,
                   open_weights(segment, options.block_inputs, options.bf16_inputs));
    const kernels::KernelTable& scalar = *kernels::find("scalar");
    FullAccuracy out;
    BITNETD_ASSIGN(out.matrices, measure_accuracy(preparation.input(), preparation.plan(), weights,
                                                  {scalar, Coverage::kAll, progress}));
    const kernels::KernelTable* best = table_to_compare(weights, scalar, false);
    if (best == nullptr) {
        const auto values = self_test_values(weights, scalar);
        if (!values.ok()) out.self_test = values.error();
        return out;
    }
    out.table = best->name;
    out.self_test = compare_tables(weights, *best, scalar);
    return out;
}

}  // namespace bitnetd::worker
