#include "worker/model/forward_pass.h"

#include <algorithm>

#include "worker/model/attention.h"
#include "worker/topology/slice.h"

namespace bitnetd::worker {
namespace {

// Outputs are split over threads in multiples of a cache line of floats, and of a tile of blocks.
constexpr int64_t kOutputGrain = 16;

// Up to so many rows a product's time is that of reading the weights, which cores get at different
// speeds. With more it is arithmetic, and kernels prepare the rows again in each call.
constexpr int32_t kFewRows = 16;

kernels::GatedActivation activation_of(const kernels::KernelTable& kernels,
                                       shm::Activation activation) {
    switch (activation) {
        case shm::Activation::kRelu2:
            return kernels.relu2_gate;
        case shm::Activation::kSilu:
            return kernels.silu_gate;
        case shm::Activation::kGelu:
            return kernels.gelu_gate;
    }
    return nullptr;  // open_weights() refuses others
}

}  // namespace

ForwardPass::ForwardPass(const WeightsView& weights, const kernels::KernelTable& kernels,
                         Phases& phases, const KvLayout& layout, uint32_t rows_max)
    : LayerPass(weights),
      weights_(weights),
      kernels_(kernels),
      phases_(phases),
      layout_(layout),
      rope_(weights.family->rope == RopeStyle::kNorm ? kernels.rope_norm : kernels.rope_neox),
      activation_(activation_of(kernels, weights.header.activation)),
      input_(rows_max, widest_input(weights), TernaryChoice(kernels, weights.header.tuning)),
      normed_(weights.has_input_norms ? rows_max * static_cast<size_t>(widest_input(weights)) : 0) {
    for (RowValues* values : all()) {
        values->values = memory_.emplace_back(rows_max * static_cast<size_t>(values->size)).data();
    }
}

void ForwardPass::run(std::span<const Row> rows) noexcept {
    rows_ = rows;
    embed();
    for (const LayerWeights& w : weights_.layers)
        weights_.family->layer(*this, w);
}

void ForwardPass::embed() noexcept {
    const float scale = weights_.header.embedding_scale;
    for (int64_t i = 0; i < count(); ++i) {
        table_row(kernels_, weights_.embedding, rows_[static_cast<size_t>(i)].token, x.row(i));
        if (scale != 1) kernels_.scale_in_place(x.size, scale, x.row(i));
    }
}

void ForwardPass::norm(const RowValues& from, const float* weight, RowValues& to) noexcept {
    phases_.run(int64_t{count()} * from.size * kNormWork, [&](int part, int parts) {
        const Range rows = slice(count(), parts, part);
        if (rows.count() == 0) return;
        kernels_.rms_norm(static_cast<int32_t>(rows.count()), from.size, from.row(rows.begin),
                          from.size, weight, weights_.header.norm_eps, to.row(rows.begin), to.size);
    });
}

void ForwardPass::norm_heads(RowValues& heads, const float* weight) noexcept {
    const auto head_dim = static_cast<int32_t>(weights_.header.head_dim);
    const int32_t per_row = heads.size / head_dim;
    phases_.run(int64_t{count()} * heads.size * kNormWork, [&](int part, int parts) {
        const Range rows = slice(count(), parts, part);
        if (rows.count() == 0) return;
        kernels_.rms_norm(static_cast<int32_t>(rows.count()) * per_row, head_dim,
                          heads.row(rows.begin), head_dim, weight, weights_.header.norm_eps,
                          heads.row(rows.begin), head_dim);
    });
}

void ForwardPass::prepare(const Linear& w, const RowValues& input) noexcept {
    if (!w.rounds_input && w.input_norm == nullptr) return;
    phases_.run(int64_t{count()} * input.size * kNormWork, [&](int part, int parts) {
        const Range rows = slice(count(), parts, part);
        if (rows.count() == 0) return;
        const float* from = input.values;
        if (w.input_norm != nullptr) {
            kernels_.rms_norm(static_cast<int32_t>(rows.count()), input.size, input.row(rows.begin),
                              input.size, w.input_norm, weights_.header.norm_eps,
                              normed_.data() + rows.begin * input.size, input.size);
            from = normed_.data();
        }
        input_.prepare(kernels_, w, rows, from);
    });
}

// Products that share an input form are one phase, so that threads meet less often.
template <typename Then>
void ForwardPass::multiply_then(const RowValues& input, std::span<const Product> products,
                                Then then) noexcept {
    while (!products.empty()) {
        const Linear& first = *products.front().w;
        size_t together = 1;
        int64_t outputs = first.outputs;
        for (; together < products.size() && LinearInput::share_input(first, *products[together].w);
             ++together) {
            outputs += products[together].w->outputs;
        }
        prepare(first, input);
        const float* from = first.input_norm == nullptr ? input.values : normed_.data();
        const bool is_last = together == products.size();
        const auto multiply_share = [&](const Share& share) {
            Range done;
            for (const Product& product : products.first(together)) {
                done = share.of(product.w->outputs, kOutputGrain);
                input_.multiply(kernels_, count(), *product.w, done, from, product.y->values);
            }
            if (is_last) then(done);
        };
        const int64_t work = count() * outputs * first.inputs;
        if (count() <= kFewRows) {
            phases_.deal(work, [&](int, const Share& share) { multiply_share(share); });
        } else {
            phases_.run(work, [&](int part, int parts) {
                multiply_share({part, part + 1, parts});
            });
        }
        products = products.subspan(together);
    }
}

void ForwardPass::multiply(const RowValues& input,
                           std::initializer_list<Product> products) noexcept {
    multiply_then(input, {products.begin(), products.size()}, [](Range) {});
}

void ForwardPass::multiply_and_add(const RowValues& input, const Linear& w) noexcept {
    const Product product{&w, &h};
    multiply_then(input, {&product, 1}, [&](Range outputs) {
        for (int64_t i = 0; i < count(); ++i) {
            kernels_.add_in_place(outputs.count(), h.row(i) + outputs.begin,
                                  x.row(i) + outputs.begin);
        }
    });
}

void ForwardPass::gate(const RowValues& input, const Linear& gate, const Linear& up) noexcept {
    const Product products[] = {{&gate, &g}, {&up, &u}};
    multiply_then(input, products, [&](Range outputs) {
        for (int64_t i = 0; i < count(); ++i) {
            activation_(outputs.count(), g.row(i) + outputs.begin, u.row(i) + outputs.begin);
        }
    });
}

void ForwardPass::add(const RowValues& what) noexcept {
    phases_.run(int64_t{count()} * x.size * kNormWork, [&](int part, int parts) {
        const Range rows = slice(count(), parts, part);
        kernels_.add_in_place(rows.count() * x.size, what.row(rows.begin), x.row(rows.begin));
    });
}

void ForwardPass::rotate_and_store(const LayerWeights& w) noexcept {
    const AttentionLayer attention(kernels_, layout_, weights_.header, w);
    const auto head_dim = static_cast<int32_t>(weights_.header.head_dim);
    const auto rope_dims = static_cast<int32_t>(weights_.header.rope_dims);
    phases_.run(int64_t{count()} * (q.size + k.size) * kNormWork, [&](int part, int parts) {
        const Range rows = slice(count(), parts, part);
        for (int64_t i = rows.begin; i < rows.end; ++i) {
            const Row& row = rows_[static_cast<size_t>(i)];
            const float* cos_sin = w.rope + int64_t{row.position} * rope_dims;
            rope_(q.size / head_dim, head_dim, rope_dims, cos_sin, q.row(i));
            rope_(k.size / head_dim, head_dim, rope_dims, cos_sin, k.row(i));
            attention.store(row, k.row(i), v.row(i));
        }
    });
}

// Work items are a row and the query heads that share a kv head (or single heads, when there are
// too few groups for the threads), dealt out in turn: later rows of a chunk have more to attend to.
void ForwardPass::attend(const LayerWeights& w) noexcept {
    const AttentionLayer attention(kernels_, layout_, weights_.header, w);
    const auto heads = static_cast<int32_t>(weights_.header.heads);
    const auto groups = static_cast<int32_t>(weights_.header.kv_heads);
    const bool split_groups = count() * groups < 2 * phases_.threads();
    const int32_t items_per_row = split_groups ? heads : groups;
    const int32_t heads_per_item = heads / items_per_row;
    int64_t positions = 0;
    for (const Row& row : rows_)
        positions += row.position + 1;
    phases_.run(positions * q.size * 2 * kFloatWork, [&](int part, int parts) {
        const int64_t items = int64_t{count()} * items_per_row;
        for (int64_t item = part; item < items; item += parts) {
            const int64_t i = item / items_per_row;
            const auto head = static_cast<int32_t>(item % items_per_row) * heads_per_item;
            attention.attend(rows_[static_cast<size_t>(i)], head, head + heads_per_item, q.row(i),
                             a.row(i));
        }
    });
}

void ForwardPass::final_norm(std::span<const uint32_t> rows, float* out) noexcept {
    for (size_t i = 0; i < rows.size(); ++i) {
        kernels_.rms_norm(1, x.size, x.row(rows[i]), x.size, weights_.output_norm,
                          weights_.header.norm_eps, out + i * static_cast<size_t>(x.size), x.size);
    }
}

void ForwardPass::logits(int32_t rows, const float* normed, float* out) noexcept {
    const Linear& output = weights_.output;
    const float cap = weights_.header.logit_soft_cap;
    const int64_t work = int64_t{rows} * output.outputs * x.size * kFloatWork;
    phases_.deal(work, [&](int, const Share& share) {
        const Range ids = share.of(output.outputs, kOutputGrain);
        multiply_floats(kernels_, rows, output, ids, normed, out, output.outputs);
        if (cap == 0) return;
        for (int64_t i = 0; i < rows; ++i)
            kernels_.soft_cap(ids.count(), cap, out + i * output.outputs + ids.begin);
    });
}

}  // namespace bitnetd::worker
