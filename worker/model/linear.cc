#include "worker/model/linear.h"

#include <cstring>

#include "common/base/check.h"

namespace bitnetd::worker {
namespace {

using shm::Packing;

template <typename T>
const T* rows_of(const Linear& w, int64_t first) {
    return reinterpret_cast<const T*>(w.weights) + first * w.inputs;
}

// Groups of inputs with a factor of their own; one at least, for rows with a single factor.
size_t blocks_of(int32_t inputs) {
    return static_cast<size_t>(inputs + kernels::kTileColumns - 1) / kernels::kTileColumns;
}

// The stripes of a block matrix from row `first` on.
const uint8_t* stripes_of(const Linear& w, int64_t first) {
    return reinterpret_cast<const uint8_t*>(w.weights) +
           kernels::block_matrix_bytes(w.block_format, first, w.inputs);
}

void add_bias(const kernels::KernelTable& kernels, int32_t count, const Linear& w, Range outputs,
              float* y) {
    if (w.bias == nullptr) return;
    for (int64_t i = 0; i < count; ++i) {
        kernels.add_in_place(outputs.count(), w.bias + outputs.begin,
                             y + i * w.outputs + outputs.begin);
    }
}

}  // namespace

LinearInput::LinearInput(uint32_t rows_max, int32_t inputs_max, const TernaryChoice& ternary)
    : values_(rows_max * sizeof(kernels::Bf16) *
              static_cast<size_t>(kernels::ternary_padded(inputs_max))),
      scales_(rows_max * blocks_of(inputs_max)),
      sums_(2 * rows_max * blocks_of(inputs_max)),
      ternary_(ternary) {}

bool LinearInput::share_input(const Linear& a, const Linear& b) {
    if (a.inputs != b.inputs || a.input_norm != nullptr || b.input_norm != nullptr) return false;
    if (!a.rounds_input && !b.rounds_input) return true;
    return a.rounds_input && b.rounds_input && a.packing == b.packing;
}

void LinearInput::prepare(const kernels::KernelTable& kernels, const Linear& w, Range rows,
                          const float* x) {
    if (rows.count() == 0 || !w.rounds_input) return;
    const auto m = static_cast<int32_t>(rows.count());
    const float* from = x + rows.begin * w.inputs;
    if (w.packing == Packing::kTernary2Bit) {
        const int64_t padded = kernels::ternary_padded(w.inputs);
        kernels.quantise_rows(m, w.inputs, from, w.inputs, values_.data() + rows.begin * padded,
                              scales_.data() + rows.begin, sums_.data() + rows.begin);
    } else if (w.packing == Packing::kBF16) {
        kernels.f32_to_bf16(rows.count() * w.inputs, from, halves() + rows.begin * w.inputs);
    } else {
        const auto blocks = static_cast<int64_t>(blocks_of(w.inputs));
        kernels.quantise_blocks(m, w.inputs, from, w.inputs, values_.data() + rows.begin * w.inputs,
                                scales_.data() + rows.begin * blocks,
                                sums_.data() + 2 * rows.begin * blocks);
    }
}

void LinearInput::multiply(const kernels::KernelTable& kernels, int32_t count, const Linear& w,
                           Range outputs, const float* x, float* y) const {
    if (outputs.count() == 0) return;
    const auto n = static_cast<int32_t>(outputs.count());
    if (!w.rounds_input) {
        multiply_floats(kernels, count, w, outputs, x, y, w.outputs);
    } else if (w.packing == Packing::kTernary2Bit) {
        const auto padded = static_cast<int32_t>(kernels::ternary_padded(w.inputs));
        const auto* rows = reinterpret_cast<const uint8_t*>(w.weights) +
                           outputs.begin * kernels::ternary_row_bytes(w.inputs);
        ternary_.of(count)(count, n, padded, values_.data(), sums_.data(), scales_.data(), rows,
                           w.scale, y + outputs.begin, w.outputs);
    } else if (w.packing == Packing::kBF16) {
        kernels.matmul_bf16_dot(count, n, w.inputs, halves(),
                                rows_of<kernels::Bf16>(w, outputs.begin), y + outputs.begin,
                                w.outputs);
    } else {
        kernels.block_gemm(w.block_format, count, n, w.inputs, values_.data(), scales_.data(),
                           sums_.data(), stripes_of(w, outputs.begin), y + outputs.begin,
                           w.outputs);
    }
    add_bias(kernels, count, w, outputs, y);
}

void table_row(const kernels::KernelTable& kernels, const Linear& table, int64_t row, float* out) {
    switch (table.packing) {
        case Packing::kF32:
            std::memcpy(out, rows_of<float>(table, row),
                        static_cast<size_t>(table.inputs) * sizeof(float));
            break;
        case Packing::kF16:
            kernels.f16_to_f32(table.inputs, rows_of<uint16_t>(table, row), out);
            break;
        case Packing::kBF16:
            kernels.bf16_to_f32(table.inputs, rows_of<kernels::Bf16>(table, row), out);
            break;
        case Packing::kBlocks:
            kernels.block_row(table.block_format, table.inputs, stripes_of(table, 0), row, out);
            break;
        case Packing::kTernary2Bit:
            BITNETD_CHECK(false);  // open_weights() refuses ternary tables
    }
}

void multiply_floats(const kernels::KernelTable& kernels, int32_t count, const Linear& w,
                     Range outputs, const float* x, float* y, int64_t y_stride) {
    if (outputs.count() == 0) return;
    const auto n = static_cast<int32_t>(outputs.count());
    float* const to = y + outputs.begin;
    switch (w.packing) {
        case Packing::kF32:
            kernels.matmul_f32(count, n, w.inputs, x, rows_of<float>(w, outputs.begin), to,
                               y_stride);
            break;
        case Packing::kF16:
            kernels.matmul_f16(count, n, w.inputs, x, rows_of<uint16_t>(w, outputs.begin), to,
                               y_stride);
            break;
        case Packing::kBF16:
            kernels.matmul_bf16(count, n, w.inputs, x, rows_of<kernels::Bf16>(w, outputs.begin), to,
                                y_stride);
            break;
        case Packing::kBlocks:
            kernels.block_matmul(w.block_format, count, n, w.inputs, x,
                                 stripes_of(w, outputs.begin), to, y_stride);
            break;
        case Packing::kTernary2Bit:
            BITNETD_CHECK(false);
    }
}

}  // namespace bitnetd::worker
