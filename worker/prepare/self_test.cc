#include "worker/prepare/self_test.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>

#include "worker/kernels/dispatch.h"
#include "worker/kernels/self_check.h"
#include "worker/kv/kv_cache.h"
#include "worker/model/transformer_engine.h"

namespace bitnetd::worker {
namespace {

constexpr std::string_view kScalar = "scalar";

// Exact, as bits and as a number.
std::string exact(float value) {
    char text[48];
    std::snprintf(text, sizeof text, "%.9g (0x%08x)", static_cast<double>(value),
                  std::bit_cast<uint32_t>(value));
    return text;
}

// What the value at `index` of self_test_values() is.
std::string place_of(const WeightsView& weights, size_t count, size_t index) {
    const size_t first_logit = count - weights.header.vocab;
    if (index >= first_logit) {
        return "logit " + std::to_string(index - first_logit) + " of " +
               std::to_string(weights.header.vocab);
    }
    const size_t hidden = weights.header.hidden;
    return "hidden value " + std::to_string(index % hidden) + " of position " +
           std::to_string(index / hidden);
}

// The prompt as one step of one sequence.
class Prompt {
  public:
    explicit Prompt(const WeightsView& weights)
        : layout_({weights.header.layers, weights.header.kv_heads, weights.header.head_dim,
                   KvType::kF32}),
          count_(std::min(kSelfTestIds, weights.header.context)),
          arena_(layout_.page_bytes() * layout_.sequence_pages(count_)),
          cache_(layout_, arena_.span(), 1, count_) {
        cache_.pages().grow(0, count_);
        const auto ids = self_test_ids(weights.header.vocab);
        for (uint32_t i = 0; i < count_; ++i)
            rows_.push_back({ids[i], i, cache_.table(0)});
    }

    const KvLayout& layout() const { return layout_; }
    uint32_t count() const { return count_; }
    std::span<const Row> rows() const { return rows_; }

  private:
    KvLayout layout_;
    uint32_t count_;
    AlignedArray<std::byte> arena_;
    KvCache cache_;
    std::vector<Row> rows_;
};

}  // namespace

std::array<uint32_t, kSelfTestIds> self_test_ids(uint32_t vocab) {
    std::array<uint32_t, kSelfTestIds> ids{};
    for (uint32_t i = 0; i < kSelfTestIds; ++i)
        ids[i] = static_cast<uint32_t>((2 * uint64_t{i} + 1) * vocab / (2 * kSelfTestIds));
    return ids;
}

Result<std::vector<float>> self_test_values(const WeightsView& weights,
                                            const kernels::KernelTable& table, ThreadPool* pool) {
    const Prompt prompt(weights);
    std::unique_ptr<ThreadPool> own;
    if (pool == nullptr) {
        BITNETD_ASSIGN(own, ThreadPool::create({{0}, false, 0}));
        pool = own.get();
    }
    TransformerEngine engine(weights, table, *pool, prompt.layout(), prompt.count());
    engine.step(prompt.rows(), {});
    std::vector<float> values;
    for (uint32_t row = 0; row < prompt.count(); ++row) {
        const auto hidden = engine.hidden_of(row);
        values.insert(values.end(), hidden.begin(), hidden.end());
    }
    const auto logits = engine.logits_of(prompt.count() - 1);
    values.insert(values.end(), logits.begin(), logits.end());
    for (size_t i = 0; i < values.size(); ++i) {
        if (std::isfinite(values[i])) continue;
        return invalid("on " + std::string(table.name) + " " + place_of(weights, values.size(), i) +
                       " is " + exact(values[i]) +
                       ", expected a finite number; these weights overflow or are not those of a "
                       "model");
    }
    return values;
}

Result<void> compare_tables(const WeightsView& weights, const kernels::KernelTable& table,
                            const kernels::KernelTable& other, ThreadPool* pool) {
    BITNETD_ASSIGN(const auto values, self_test_values(weights, table, pool));
    BITNETD_ASSIGN(const auto others, self_test_values(weights, other, pool));
    for (size_t i = 0; i < values.size(); ++i) {
        if (std::bit_cast<uint32_t>(values[i]) == std::bit_cast<uint32_t>(others[i])) continue;
        return Error{ErrorCode::kInvalid,
                     place_of(weights, values.size(), i) + " is " + exact(values[i]) + " on " +
                         table.name + " and " + exact(others[i]) + " on " + other.name +
                         ", expected the same bits; choose another table with worker.kernel_isa, "
                         "and report this with the CPU's model"};
    }
    return {};
}

const kernels::KernelTable* table_to_compare(const WeightsView& weights,
                                             const kernels::KernelTable& table, bool scalar_too) {
    for (const kernels::KernelTable* other : kernels::usable_tables()) {
        if (other == &table || !check_table(weights, *other).ok()) continue;
        const bool is_scalar = other->name == kScalar;
        if (is_scalar ? scalar_too : kernels::self_check(*other) == nullptr) return other;
    }
    return nullptr;
}

}  // namespace bitnetd::worker
