#include "worker/gpu/gpu_pass.h"

#include <algorithm>
#include <array>

#include "common/base/check.h"
#include "worker/gpu/matrix.h"
#include "worker/kernels/kernel_api.h"

namespace bitnetd::worker {

using kernels::cuda::Rounding;
using kernels::cuda::Store;

GpuPass::GpuPass(const Parts& parts)
    : LayerPass(parts.weights),
      device_(parts.device),
      kernels_(parts.kernels),
      stream_(parts.device.stream()),
      weights_(parts.weights),
      layout_(parts.layout),
      rows_max_(parts.rows_max) {}

Result<std::unique_ptr<GpuPass>> GpuPass::make(const Parts& parts) {
    std::unique_ptr<GpuPass> pass(new GpuPass(parts));
    BITNETD_TRY(pass->allocate());
    return pass;
}

Result<void> GpuPass::allocate() {
    const uint64_t rows = rows_max_;
    for (RowValues* values : all()) {
        BITNETD_ASSIGN(values->values,
                       device_.array<float>(rows * static_cast<uint64_t>(values->size)));
    }
    const int32_t widest = widest_input(weights_);
    if (weights_.has_input_norms) {
        BITNETD_ASSIGN(normed_, device_.array<float>(rows * static_cast<uint64_t>(widest)));
    }
    // Rows of whole ternary blocks are the longest; sums of 16 columns the most.
    const auto padded = static_cast<uint64_t>(kernels::ternary_padded(widest));
    BITNETD_ASSIGN(rounded_.values, device_.array<int8_t>(rows * padded));
    BITNETD_ASSIGN(rounded_.scales, device_.array<float>(rows * (padded / 32)));
    BITNETD_ASSIGN(rounded_.sums, device_.array<int32_t>(rows * (padded / 16)));
    BITNETD_ASSIGN(step_rows_, device_.array<kernels::cuda::StepRow>(rows));
    return {};
}

void GpuPass::use_tables(std::byte* const* tables, uint32_t table_pages) {
    tables_ = tables;
    table_pages_ = table_pages;
}

void GpuPass::run(uint32_t count) noexcept {
    BITNETD_CHECK(count >= 1 && count <= rows_max_ && tables_ != nullptr);
    count_ = static_cast<int32_t>(count);
    kernels_.embed(stream_, count_, step_rows_, matrix_of(weights_.embedding),
                   weights_.header.embedding_scale, x.values);
    for (const LayerWeights& w : weights_.layers)
        weights_.family->layer(*this, w);
    settle();
}

void GpuPass::norm(const RowValues& from, const float* weight, RowValues& to) noexcept {
    settle();
    norm_ = Norm{from.values, weight, to.values, from.size};
}

void GpuPass::settle(Rounding rounding) noexcept {
    if (!norm_) return;
    kernels_.rms_norm(stream_, count_, norm_->size, norm_->from, nullptr, norm_->weight,
                      weights_.header.norm_eps, norm_->to, rounding, rounded_);
    norm_.reset();
}

void GpuPass::norm_heads(RowValues& heads, const float* weight) noexcept {
    settle();
    const auto head_dim = static_cast<int32_t>(weights_.header.head_dim);
    kernels_.rms_norm(stream_, count_ * (heads.size / head_dim), head_dim, heads.values, nullptr,
                      weight, weights_.header.norm_eps, heads.values, Rounding::kNone, rounded_);
}

const float* GpuPass::prepare(const Linear& w, const RowValues& input) noexcept {
    const Rounding rounding = rounding_of(w);
    if (w.input_norm != nullptr) {
        settle();
        kernels_.rms_norm(stream_, count_, input.size, input.values, nullptr, w.input_norm,
                          weights_.header.norm_eps, normed_, rounding, rounded_);
        return normed_;
    }
    if (norm_ && norm_->to == input.values) {
        settle(rounding);
        return input.values;
    }
    settle();
    if (rounding != Rounding::kNone) {
        kernels_.round(stream_, count_, input.size, input.values, rounding, rounded_);
    }
    return input.values;
}

// Products that share an input form are one launch.
void GpuPass::multiply(const RowValues& input, std::span<const Product> products,
                       Store store) noexcept {
    while (!products.empty()) {
        const Linear& first = *products.front().w;
        std::array<kernels::cuda::Product, kernels::cuda::kProductsMax> together;
        size_t count = 0;
        while (count < std::min(products.size(), together.size())) {
            const Linear& w = *products[count].w;
            const bool fits =
                count == 0 || (LinearInput::share_input(first, w) && first.packing == w.packing &&
                               first.block_format == w.block_format);
            if (!fits) break;
            together[count] = {matrix_of(w), products[count].y->values};
            ++count;
        }
        const float* const from = prepare(first, input);
        kernels_.multiply(stream_, count_, std::span(together).first(count), rounding_of(first),
                          rounded_, from, store);
        products = products.subspan(count);
    }
}

void GpuPass::multiply(const RowValues& input, std::initializer_list<Product> products) noexcept {
    multiply(input, {products.begin(), products.size()}, Store::kSet);
}

void GpuPass::multiply_and_add(const RowValues& input, const Linear& w) noexcept {
    const Product product{&w, &x};
    multiply(input, {&product, 1}, Store::kAdd);
}

void GpuPass::gate(const RowValues& input, const Linear& gate, const Linear& up) noexcept {
    multiply(input, {{&gate, &g}, {&up, &u}});
    kernels_.gate(stream_, int64_t{count_} * g.size, gate_of(weights_.header.activation), g.values,
                  u.values);
}

void GpuPass::add(const RowValues& what) noexcept {
    settle();
    kernels_.add(stream_, int64_t{count_} * x.size, what.values, x.values);
}

kernels::cuda::Pages GpuPass::pages_of(const LayerWeights& w) const {
    const KvShape& shape = layout_.shape();
    return {.tables = tables_,
            .table_pages = static_cast<int32_t>(table_pages_),
            .page_tokens = static_cast<int32_t>(kPageTokens),
            .kv_heads = static_cast<int32_t>(shape.kv_heads),
            .head_dim = static_cast<int32_t>(shape.head_dim),
            .value_bytes = static_cast<int32_t>(format_of(shape.type).value_bytes),
            .k_offset = static_cast<int64_t>(layout_.k_offset(w.index)),
            .v_offset = static_cast<int64_t>(layout_.v_offset(w.index))};
}

void GpuPass::rotate_and_store(const LayerWeights& w) noexcept {
    settle();
    kernels_.rotate_and_store(
        stream_, count_, step_rows_, pages_of(w), static_cast<int32_t>(weights_.header.heads),
        static_cast<int32_t>(weights_.header.rope_dims), weights_.family->rope == RopeStyle::kNeox,
        w.rope, q.values, k.values, v.values);
}

void GpuPass::attend(const LayerWeights& w) noexcept {
    settle();
    kernels_.attend(stream_, count_, step_rows_, pages_of(w),
                    static_cast<int32_t>(weights_.header.heads),
                    w.windowed ? weights_.header.sliding_window : 0,
                    weights_.header.attention_scale, q.values, a.values);
}

void GpuPass::final_norm(uint32_t count, const uint32_t* rows, float* out) noexcept {
    kernels_.rms_norm(stream_, static_cast<int32_t>(count), x.size, x.values, rows,
                      weights_.output_norm, weights_.header.norm_eps, out, Rounding::kNone,
                      rounded_);
}

void GpuPass::logits(uint32_t count, const float* normed, float* out) noexcept {
    kernels_.logits(stream_, static_cast<int32_t>(count), matrix_of(weights_.output), normed,
                    weights_.header.logit_soft_cap, out);
}

}  // namespace bitnetd::worker
