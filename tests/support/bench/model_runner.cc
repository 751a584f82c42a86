#include "tests/support/bench/model_runner.h"

#include <string>
#include <utility>

#include "tests/support/bench/packed_file.h"
#include "tests/support/bench/random_weights.h"
#include "worker/model/ternary_choice.h"

namespace bitnetd::bench {

using worker::KvLayout;

Result<std::unique_ptr<ModelRunner>> ModelRunner::create(std::span<const std::byte> weights,
                                                         const Options& options) {
    std::unique_ptr<ModelRunner> out(new ModelRunner(options));
    BITNETD_ASSIGN(out->weights_,
                   worker::open_weights(weights, options.block_inputs, options.bf16_inputs));
    BITNETD_TRY(worker::check_table(out->weights_, options.kernels));
    shm::WeightsHeader& model = out->weights_.header;
    model.tuning = worker::measure_ternary_ways(out->weights_, options.kernels);
    out->ternary_ways_ = worker::TernaryChoice(options.kernels, model.tuning).text();
    if (options.positions > model.context) {
        return invalid("sequences of " + std::to_string(options.positions) +
                       " ids, and the model has a context of " + std::to_string(model.context));
    }
    const KvLayout layout({model.layers, model.kv_heads, model.head_dim, options.kv_type});
    const uint64_t pages = layout.sequence_pages(options.positions) * options.sequences;
    BITNETD_ASSIGN(out->arena_, make_arena(pages * layout.page_bytes()));
    out->cache_ = std::make_unique<worker::KvCache>(layout, out->arena_.mutable_view(),
                                                    options.sequences, options.positions);
    for (uint32_t slot = 0; slot < options.sequences; ++slot) {
        if (!out->cache_->pages().grow(slot, options.positions)) return invalid("too few KV pages");
    }
    out->engine_ = std::make_unique<worker::TransformerEngine>(
        out->weights_, options.kernels, options.pool, out->cache_->layout(), options.step_tokens);
    out->drawn_.resize(options.sequences);
    return out;
}

void ModelRunner::begin(uint32_t count, uint32_t ids) {
    FastRandom random(count * 1000 + ids);
    prompt_ids_ = ids;
    ids_.assign(count, {});
    for (std::vector<uint32_t>& sequence : ids_) {
        sequence.reserve(options_.positions);
        while (sequence.size() < ids)
            sequence.push_back(static_cast<uint32_t>(random.next() % weights_.header.vocab));
    }
}

Result<void> ModelRunner::prefill() {
    for (uint32_t sequence = 0; sequence < ids_.size(); ++sequence) {
        for (uint32_t position = 0; position < prompt_ids_; ++position) {
            add_row(sequence, position);
            if (position + 1 == prompt_ids_) add_draw(sequence);
            if (rows_.size() == options_.step_tokens) BITNETD_TRY(step());
        }
    }
    return rows_.empty() ? Result<void>() : step();
}

Result<void> ModelRunner::decode(uint32_t steps) {
    for (uint32_t i = 0; i < steps; ++i) {
        for (uint32_t sequence = 0; sequence < ids_.size(); ++sequence) {
            add_row(sequence, static_cast<uint32_t>(ids_[sequence].size()) - 1);
            add_draw(sequence);
        }
        BITNETD_TRY(step());
    }
    return {};
}

void ModelRunner::repeat_layers(uint32_t steps) {
    for (uint32_t i = steps; i > 0; --i) {
        for (uint32_t sequence = 0; sequence < ids_.size(); ++sequence)
            add_row(sequence, static_cast<uint32_t>(ids_[sequence].size()) - 1 - i);
        engine_->step(rows_, {});
        rows_.clear();
    }
}

void ModelRunner::rewind(uint32_t count) {
    for (std::vector<uint32_t>& sequence : ids_)
        sequence.resize(sequence.size() - count);
}

void ModelRunner::add_row(uint32_t sequence, uint32_t position) {
    rows_.push_back({ids_[sequence][position], position, cache_->table(sequence)});
}

void ModelRunner::add_draw(uint32_t sequence) {
    draws_.push_back({.row = static_cast<uint32_t>(rows_.size()) - 1,
                      .is_score = false,
                      .known_token = 0,
                      .params = &greedy_,
                      .context = {ids_[sequence], prompt_ids_, {}, weights_.end_ids()},
                      .drawn = &drawn_[sequence]});
    drawing_.push_back(sequence);
}

Result<void> ModelRunner::step() {
    engine_->step(rows_, draws_);
    for (const uint32_t sequence : drawing_) {
        if (!drawn_[sequence].valid) {
            return Error{ErrorCode::kInternal,
                         "the logits of sequence " + std::to_string(sequence) + " are no numbers"};
        }
        ids_[sequence].push_back(drawn_[sequence].token);
    }
    rows_.clear();
    draws_.clear();
    drawing_.clear();
    return {};
}

}  // namespace bitnetd::bench
