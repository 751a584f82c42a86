#include "worker/gpu/device_check.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "common/base/check.h"
#include "common/config/exit_codes.h"
#include "worker/gpu/gpu_engine.h"
#include "worker/kv/kv_cache.h"
#include "worker/model/aligned_array.h"
#include "worker/model/transformer_engine.h"

namespace bitnetd::worker {
namespace {

// Positions of the check, and the rows of its largest step: it begins a second page.
constexpr uint32_t kPositions = 37 + 1 + 4;
constexpr uint32_t kRowsMax = 37;
// The last rows of a step are drawn from; the logits of all would take long on a CPU.
constexpr uint32_t kDraws = 4;

// Of many rows, of one and of a few, whose products are different kernels; of a model with a short
// context fewer.
std::array<uint32_t, 3> steps_of(uint32_t positions) {
    const uint32_t first = positions - std::min(positions - 1, 5u);
    const uint32_t second = std::min(positions - first, 1u);
    return {first, second, positions - first - second};
}

// The first layer, and the first that differs from it in having a window.
std::vector<size_t> layers_to_check(const WeightsView& weights) {
    std::vector<size_t> layers = {0};
    const auto other = std::ranges::find_if(weights.layers, [&](const LayerWeights& w) {
        return w.windowed != weights.layers.front().windowed;
    });
    if (other != weights.layers.end()) {
        layers.push_back(static_cast<size_t>(other - weights.layers.begin()));
    }
    return layers;
}

// A model of that one layer.
WeightsView shortened(const WeightsView& weights, size_t layer) {
    WeightsView view = weights;
    view.layers = {weights.layers[layer]};
    view.layers.front().index = 0;
    view.header.layers = 1;
    view.header.context = std::min(weights.header.context, kPositions);
    return view;
}

void lost_in_check(const Error& why) noexcept {
    std::fprintf(stderr, "GPU lost in its self-check: %s\n", why.message.c_str());
    say_last_words(why.message.c_str());
    std::_Exit(kExitDeviceLost);
}

// Greedy, plain, top_k and with logprobs, in turn.
SamplingParams params_of(uint32_t row) {
    SamplingParams params = {.seed = row};
    if (row % 4 == 0) params.temperature = 0;
    if (row % 4 == 2) params.top_k = 40;
    if (row % 4 == 3) params.wants_logprobs = true;
    return params;
}

// One engine with a cache of its own, fed with the same ids.
class Side {
  public:
    Side(Engine& engine, KvCache& cache) : engine_(engine), cache_(cache) {
        BITNETD_CHECK(cache_.pages().grow(0, cache_.table_pages() * kPageTokens));
    }

    void step(std::span<const uint32_t> ids, uint32_t first, uint32_t count) {
        std::vector<Row> rows;
        std::vector<Draw> draws;
        std::array<SamplingParams, kRowsMax> params;
        for (uint32_t i = 0; i < count; ++i) {
            const uint32_t position = first + i;
            rows.push_back({ids[position], position, cache_.table(0)});
            params[i] = params_of(i);
            draws.push_back({.row = i,
                             .is_score = false,
                             .known_token = 0,
                             .params = &params[i],
                             .context = {ids.first(position + 1), 1, {}, {}},
                             .drawn = &drawn_[i]});
        }
        const size_t skipped = count - std::min(count, kDraws);
        engine_.step(rows, std::span(draws).subspan(skipped));
    }
    const Drawn& drawn(uint32_t row) const { return drawn_[row]; }

  private:
    Engine& engine_;
    KvCache& cache_;
    std::array<Drawn, kRowsMax> drawn_;
};

std::string place(uint32_t row, uint32_t rows) {
    return "row " + std::to_string(row) + " of a step of " + std::to_string(rows);
}

Result<void> same_floats(std::span<const float> expected, std::span<const float> found,
                         const char* what, const std::string& where) {
    for (size_t i = 0; i < expected.size(); ++i) {
        if (std::bit_cast<uint32_t>(expected[i]) == std::bit_cast<uint32_t>(found[i])) continue;
        char numbers[96];
        std::snprintf(numbers, sizeof numbers, "%.9g instead of %.9g",
                      static_cast<double>(found[i]), static_cast<double>(expected[i]));
        return Error{ErrorCode::kInternal, std::string(what) + " " + std::to_string(i) + " of " +
                                               where + " is " + numbers};
    }
    return {};
}

Result<void> same_draw(const Drawn& expected, const Drawn& found, const std::string& where) {
    const bool same = expected.valid == found.valid && expected.token == found.token &&
                      expected.scores.logprob == found.scores.logprob;
    if (same) return {};
    return Error{ErrorCode::kInternal, "the token drawn after " + where + " is " +
                                           std::to_string(found.token) + " instead of " +
                                           std::to_string(expected.token)};
}

struct Operation {
    const char* gave;
    RowValues LayerPass::*values;
};
constexpr Operation kOperations[] = {
    {"query", &LayerPass::q},       {"key", &LayerPass::k},
    {"value", &LayerPass::v},       {"attention output", &LayerPass::a},
    {"up", &LayerPass::u},          {"gate", &LayerPass::g},
    {"layer output", &LayerPass::x}};

// What the operations of the layer gave, for all rows of the step.
Result<void> same_values(const CheckParts& parts, const LayerPass& cpu, const LayerPass& gpu,
                         uint32_t rows) {
    for (const Operation& operation : kOperations) {
        const RowValues& expected = cpu.*operation.values;
        const auto size = static_cast<size_t>(expected.size);
        BITNETD_ASSIGN(float* const found, parts.device.host_array<float>(rows * size));
        parts.device.download((gpu.*operation.values).values, found, rows * size * sizeof(float));
        BITNETD_TRY(parts.device.wait(parts.timeout_ns));
        for (uint32_t row = 0; row < rows; ++row) {
            BITNETD_TRY(same_floats({expected.row(row), size}, {found + row * size, size},
                                    operation.gave, place(row, rows)));
        }
    }
    return {};
}

Result<void> compare(const CheckParts& parts, GpuEngine& gpu, TransformerEngine& cpu,
                     Side& gpu_side, Side& cpu_side, const shm::WeightsHeader& model) {
    std::vector<uint32_t> ids(model.context);
    for (uint32_t i = 0; i < ids.size(); ++i)
        ids[i] = static_cast<uint32_t>(uint64_t{i + 1} * 2'654'435'761 % model.vocab);
    uint32_t first = 0;
    for (const uint32_t rows : steps_of(model.context)) {
        if (rows == 0) continue;
        gpu_side.step(ids, first, rows);
        cpu_side.step(ids, first, rows);
        BITNETD_TRY(same_values(parts, cpu.values(), gpu.values(), rows));
        const std::string where = place(rows - 1, rows);
        BITNETD_TRY(
            same_floats(cpu.hidden_of(rows - 1), gpu.hidden_of(rows - 1), "hidden value", where));
        BITNETD_TRY(same_floats(cpu.logits_of(rows - 1), gpu.logits_of(rows - 1), "logit", where));
        for (uint32_t row = rows - std::min(rows, kDraws); row < rows; ++row) {
            BITNETD_TRY(same_draw(cpu_side.drawn(row), gpu_side.drawn(row), place(row, rows)));
        }
        first += rows;
    }
    return {};
}

Result<void> check(const CheckParts& parts, const WeightsView& on_device,
                   const WeightsView& on_host) {
    const shm::WeightsHeader& model = on_host.header;
    const KvLayout layout({model.layers, model.kv_heads, model.head_dim, parts.kv_type});
    const uint64_t arena_bytes = layout.page_bytes() * layout.sequence_pages(model.context);
    BITNETD_ASSIGN(auto gpu, GpuEngine::make({.device = parts.device,
                                              .kernels = parts.kernels,
                                              .weights = on_device,
                                              .step_tokens_max = kRowsMax,
                                              .step_timeout_ns = parts.timeout_ns,
                                              .on_lost = lost_in_check},
                                             layout));
    BITNETD_ASSIGN(std::byte* const device_arena, parts.device.allocate(arena_bytes));
    KvCache gpu_cache(layout, {device_arena, arena_bytes}, 1, model.context);
    BITNETD_TRY(gpu->use(gpu_cache));
    const AlignedArray<std::byte> arena(arena_bytes);
    KvCache cpu_cache(layout, arena.span(), 1, model.context);
    TransformerEngine cpu(on_host, parts.table, parts.pool, layout, kRowsMax);
    Side gpu_side(*gpu, gpu_cache);
    Side cpu_side(cpu, cpu_cache);
    return compare(parts, *gpu, cpu, gpu_side, cpu_side, model);
}

}  // namespace

Result<void> check_device(const CheckParts& parts) {
    for (const size_t layer : layers_to_check(parts.on_host)) {
        const Device::Mark mark = parts.device.mark();
        auto checked =
            check(parts, shortened(parts.on_device, layer), shortened(parts.on_host, layer));
        parts.device.give_back(mark);
        if (checked.ok()) continue;
        if (checked.error().code != ErrorCode::kInternal) return checked;
        return std::move(checked).error().within(
            "self-check of " + parts.device.facts().name + " (" + parts.device.facts().family +
            ") against the CPU's " + parts.table.name + ", layer " + std::to_string(layer));
    }
    return {};
}

}  // namespace bitnetd::worker
