// An engine over a model in memory, and sequences driven by hand: what the loop does, without
// rings.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "worker/kernels/dispatch.h"
#include "worker/kv/kv_cache.h"
#include "worker/model/transformer_engine.h"

namespace bitnetd::worker::test {

class EngineFixture {
  public:
    struct Options {
        KvType kv_type = KvType::kF32;
        const char* isa = "auto";
        int threads = 1;
        uint32_t slots = 1;
        uint32_t step_tokens_max = 64;
        BlockInputs block_inputs = BlockInputs::kInt8;
        int64_t work_per_thread = 1;  // small models would never be split otherwise
    };

    EngineFixture(std::span<const std::byte> weights, const Options& options)
        : options_(options),
          weights_(open_weights(weights, options.block_inputs).value()),
          layout_({weights_.header.layers, weights_.header.kv_heads, weights_.header.head_dim,
                   options.kv_type}),
          arena_(layout_.page_bytes() * layout_.sequence_pages(weights_.header.context) *
                 options.slots),
          cache_(layout_, arena_.span(), options.slots, weights_.header.context) {
        std::fill(arena_.span().begin(), arena_.span().end(), std::byte{0xff});  // NaN everywhere
        pool_ = ThreadPool::create(
                    {std::vector<int>(static_cast<size_t>(options.threads), 0), false, 0})
                    .value();
        const kernels::KernelTable& table = std::string_view(options.isa) == "auto"
                                                ? *kernels::usable_tables().front()
                                                : *kernels::find(options.isa);
        engine_ = std::make_unique<TransformerEngine>(
            weights_, table, *pool_, layout_, options.step_tokens_max, options.work_per_thread);
        for (uint32_t slot = 0; slot < options.slots; ++slot) {
            cache_.pages().grow(slot, weights_.header.context);
        }
    }

    const WeightsView& weights() const { return weights_; }
    TransformerEngine& engine() { return *engine_; }
    Row row(uint32_t slot, uint32_t token, uint32_t position) {
        return {token, position, cache_.table(slot)};
    }

    // The logits after the last of `ids`, computed from position `first` on in chunks of `chunk`.
    std::vector<float> feed(uint32_t slot, std::span<const uint32_t> ids, uint32_t first = 0,
                            uint32_t chunk = 0) {
        if (chunk == 0) chunk = options_.step_tokens_max;
        std::vector<Row> rows;
        for (auto at = first; at < ids.size(); at += chunk) {
            rows.clear();
            for (auto p = at; p < ids.size() && p < at + chunk; ++p) {
                rows.push_back(row(slot, ids[p], p));
            }
            engine_->step(rows, {});
        }
        const auto logits = engine_->logits_of(static_cast<uint32_t>(rows.size()) - 1);
        return {logits.begin(), logits.end()};
    }

  private:
    Options options_;
    WeightsView weights_;
    KvLayout layout_;
    AlignedArray<std::byte> arena_;
    KvCache cache_;
    std::unique_ptr<ThreadPool> pool_;
    std::unique_ptr<TransformerEngine> engine_;
};

inline uint32_t argmax(std::span<const float> logits) {
    return scan_logits(logits).argmax;
}

}  // namespace bitnetd::worker::test
