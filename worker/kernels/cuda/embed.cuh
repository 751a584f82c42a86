// x[i] = row `token` of the embedding table as floats, times `scale`. A thread makes four values.
//   table  [vocab][k]    x  float [m][k]
// 4 bytes written and up to 4 read a value: bound by memory. Not measured on a device yet.
#pragma once

#include "worker/kernels/cuda/block_codes.cuh"
#include "worker/kernels/cuda/rounding.cuh"

namespace bitnetd::kernels::cuda {
namespace {

inline constexpr int32_t kEmbedThreads = 128;

BITNETD_DEVICE int32_t embed_quad() {
    return block_x() * kEmbedThreads + thread_index();
}

template <typename T>
BITNETD_KERNEL(kEmbedThreads)
void embed_floats_kernel(const StepRow* rows, Matrix table, float scale, float* x) {
    wait_for_earlier_launches();
    const T* const row =
        reinterpret_cast<const T*>(table.data) + int64_t{rows[block_y()].token} * table.columns;
    float* const out = x + int64_t{block_y()} * table.columns;
    for (int32_t i = 0; i < kQuad; ++i) {
        const int32_t t = embed_quad() * kQuad + i;
        if (t < table.columns) out[t] = to_float(row[t]) * scale;
    }
}

// Columns 4 quad .. 4 quad + 3 of a row of a tile, as stored.
template <int kBits, int kGroup>
BITNETD_DEVICE uint32_t codes_of(const TileView<kBits, kGroup>& tile, int32_t quad, int32_t row) {
    constexpr int32_t kWords = kTileWords<kBits>;
    const uint32_t word = tile.words()[quad % kWords * kStripeRows + row];
    return kBits == 8 ? word : word >> quad / kWords * 4 & 0x0f0f0f0f;
}

template <int kBits, int kGroup>
BITNETD_KERNEL(kEmbedThreads)
void embed_blocks_kernel(const StepRow* rows, Matrix table, BlockForm form, float scale, float* x) {
    wait_for_earlier_launches();
    const int32_t t = embed_quad() * kQuad;
    if (t >= table.columns) return;
    const auto row = static_cast<int32_t>(rows[block_y()].token);
    const TileView<kBits, kGroup> tile(form, stripe_of(table, form, row / kStripeRows),
                                       t / kTileColumns);
    const int32_t in_tile = t % kTileColumns;
    const int32_t in_stripe = row % kStripeRows;
    const uint32_t codes = codes_of(tile, in_tile / kQuad, in_stripe);
    const float factor = tile.factor(in_tile / kGroup, in_stripe);
    const float offset = tile.offset(in_tile / kGroup, in_stripe);
    float* const out = x + int64_t{block_y()} * table.columns + t;
    for (int32_t i = 0; i < kQuad; ++i) {
        const int32_t code = static_cast<int32_t>(codes >> 8 * i & 0xff) - form.stored_bias;
        const float product = factor * static_cast<float>(code);
        out[i] = (form.has_offsets ? product + offset : product) * scale;
    }
}

void embed(Stream stream, int32_t m, const StepRow* rows, const Matrix& table, float scale,
           float* x) noexcept {
    const Grid grid{static_cast<uint32_t>(divided_up(table.columns, kEmbedThreads * kQuad)),
                    static_cast<uint32_t>(m)};
    const auto floats = [&](void (*kernel)(const StepRow*, Matrix, float, float*)) {
        launch(stream, grid, kEmbedThreads, 0, kernel, rows, table, scale, x);
    };
    switch (table.kind) {
        case MatrixKind::kF32:
            return floats(embed_floats_kernel<float>);
        case MatrixKind::kF16:
            return floats(embed_floats_kernel<uint16_t>);
        case MatrixKind::kBf16:
            return floats(embed_floats_kernel<Bf16>);
        case MatrixKind::kBlocks:
            return with_form(table.block_format, [&]<int kBits, int kGroup>() {
                launch(stream, grid, kEmbedThreads, 0, embed_blocks_kernel<kBits, kGroup>, rows,
                       table, form_of(table.block_format), scale, x);
            });
        case MatrixKind::kTernary:
            return;  // open_weights() refuses ternary tables
    }
}

}  // namespace
}  // namespace bitnetd::kernels::cuda
