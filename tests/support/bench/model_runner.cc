#include "tests/support/bench/model_runner.h"

#include <string>

#include "common/base/check.h"
#include "tests/support/bench/random_weights.h"

namespace bitnetd::bench {

Result<uint64_t> arena_bytes(const worker::KvLayout& layout, const shm::WeightsHeader& model,
                             uint32_t sequences, uint32_t positions) {
    if (positions > model.context) {
        return invalid("sequences of " + std::to_string(positions) +
                       " ids, and the model has a context of " + std::to_string(model.context));
    }
    return layout.sequence_pages(positions) * sequences * layout.page_bytes();
}

ModelRunner::ModelRunner(const Parts& parts) : parts_(parts), drawn_(parts.sequences) {
    for (uint32_t slot = 0; slot < parts.sequences; ++slot)
        BITNETD_CHECK(parts.cache.pages().grow(slot, parts.positions));
}

void ModelRunner::begin(uint32_t count, uint32_t ids) {
    FastRandom random(count * 1000 + ids);
    prompt_ids_ = ids;
    ids_.assign(count, {});
    for (std::vector<uint32_t>& sequence : ids_) {
        sequence.reserve(parts_.positions);
        while (sequence.size() < ids)
            sequence.push_back(static_cast<uint32_t>(random.next() % parts_.model.vocab));
    }
}

Result<void> ModelRunner::prefill() {
    for (uint32_t sequence = 0; sequence < ids_.size(); ++sequence) {
        for (uint32_t position = 0; position < prompt_ids_; ++position) {
            add_row(sequence, position);
            if (position + 1 == prompt_ids_) add_draw(sequence);
            if (rows_.size() == parts_.step_tokens) BITNETD_TRY(step());
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
        parts_.engine.step(rows_, {});
        rows_.clear();
    }
}

void ModelRunner::rewind(uint32_t count) {
    for (std::vector<uint32_t>& sequence : ids_)
        sequence.resize(sequence.size() - count);
}

void ModelRunner::add_row(uint32_t sequence, uint32_t position) {
    rows_.push_back({ids_[sequence][position], position, parts_.cache.table(sequence)});
}

void ModelRunner::add_draw(uint32_t sequence) {
    const std::span<const uint32_t> end_ids(parts_.model.end_ids, parts_.model.end_id_count);
    draws_.push_back({.row = static_cast<uint32_t>(rows_.size()) - 1,
                      .is_score = false,
                      .known_token = 0,
                      .params = &greedy_,
                      .context = {ids_[sequence], prompt_ids_, {}, end_ids},
                      .drawn = &drawn_[sequence]});
    drawing_.push_back(sequence);
}

Result<void> ModelRunner::step() {
    parts_.engine.step(rows_, draws_);
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
