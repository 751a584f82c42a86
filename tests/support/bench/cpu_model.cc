#include "tests/support/bench/cpu_model.h"

#include <utility>

#include "tests/support/bench/packed_file.h"
#include "worker/model/ternary_choice.h"

namespace bitnetd::bench {

Result<std::unique_ptr<CpuModel>> CpuModel::create(std::span<const std::byte> weights,
                                                   const Options& options) {
    std::unique_ptr<CpuModel> out(new CpuModel);
    BITNETD_ASSIGN(out->weights_,
                   worker::open_weights(weights, options.block_inputs, options.bf16_inputs));
    BITNETD_TRY(worker::check_table(out->weights_, options.kernels));
    shm::WeightsHeader& model = out->weights_.header;
    model.tuning = worker::measure_ternary_ways(out->weights_, options.kernels);
    out->ternary_ways_ = worker::TernaryChoice(options.kernels, model.tuning).text();
    const worker::KvLayout layout({model.layers, model.kv_heads, model.head_dim, options.kv_type});
    BITNETD_ASSIGN(const uint64_t bytes,
                   arena_bytes(layout, model, options.sequences, options.positions));
    BITNETD_ASSIGN(out->arena_, make_arena(bytes));
    out->cache_ = std::make_unique<worker::KvCache>(layout, out->arena_.mutable_view(),
                                                    options.sequences, options.positions);
    out->engine_ = std::make_unique<worker::TransformerEngine>(
        out->weights_, options.kernels, options.pool, out->cache_->layout(), options.step_tokens);
    out->runner_.emplace(ModelRunner::Parts{*out->engine_, *out->cache_, model, options.step_tokens,
                                            options.sequences, options.positions});
    return out;
}

}  // namespace bitnetd::bench
