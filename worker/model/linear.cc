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

void add_bias(const kernels::KernelTable& kernels, int32_t count, const Linear& w, Range outputs,
              float* y) {
    if (w.bias == nullptr) return;
    for (int64_t i = 0; i < count; ++i) {
        kernels.add_in_place(outputs.count(), w.bias + outputs.begin,
                             y + i * w.outputs + outputs.begin);
    }
}

}  // namespace

LinearInput::LinearInput(uint32_t rows_max, int32_t inputs_max)
    : values_(rows_max * static_cast<size_t>(kernels::ternary_padded(inputs_max))),
      scales_(rows_max * static_cast<size_t>(kernels::block_count(inputs_max))),
      sums_(2 * rows_max * static_cast<size_t>(kernels::block_count(inputs_max))) {}

bool LinearInput::share_input(const Linear& a, const Linear& b) {
    const auto kind = [](const Linear& w) {
        return w.packing == Packing::kTernary2Bit || w.packing == Packing::kBlocks ? w.packing
                                                                                   : Packing::kF32;
    };
    return a.inputs == b.inputs && kind(a) == kind(b) && a.input_norm == nullptr &&
           b.input_norm == nullptr;
}

void LinearInput::prepare(const kernels::KernelTable& kernels, const Linear& w, Range rows,
                          const float* x) {
    if (rows.count() == 0) return;
    const auto m = static_cast<int32_t>(rows.count());
    const float* from = x + rows.begin * w.inputs;
    if (w.packing == Packing::kTernary2Bit) {
        const int64_t padded = kernels::ternary_padded(w.inputs);
        kernels.quantise_rows(m, w.inputs, from, w.inputs, values_.data() + rows.begin * padded,
                              scales_.data() + rows.begin, sums_.data() + rows.begin);
    } else if (w.packing == Packing::kBlocks) {
        const int64_t blocks = kernels::block_count(w.inputs);
        kernels.quantise_blocks(m, w.inputs, from, w.inputs, values_.data() + rows.begin * w.inputs,
                                scales_.data() + rows.begin * blocks,
                                sums_.data() + 2 * rows.begin * blocks);
    }
}

void LinearInput::multiply(const kernels::KernelTable& kernels, int32_t count, const Linear& w,
                           Range outputs, const float* x, float* y) const {
    if (outputs.count() == 0) return;
    const auto n = static_cast<int32_t>(outputs.count());
    switch (w.packing) {
        case Packing::kTernary2Bit: {
            const int64_t padded = kernels::ternary_padded(w.inputs);
            const auto* rows = reinterpret_cast<const uint8_t*>(w.weights) +
                               outputs.begin * kernels::ternary_row_bytes(w.inputs);
            kernels.ternary_gemm(count, n, static_cast<int32_t>(padded), values_.data(),
                                 sums_.data(), scales_.data(), rows, w.scale, y + outputs.begin,
                                 w.outputs);
            break;
        }
        case Packing::kBlocks:
            kernels.block_gemm(
                w.block_format, count, n, w.inputs, values_.data(), scales_.data(), sums_.data(),
                kernels::block_rows(w.block_format, w.weights, w.inputs, outputs.begin),
                y + outputs.begin, w.outputs);
            break;
        default:
            multiply_floats(kernels, count, w, outputs, x, y, w.outputs);
            break;
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
            kernels.block_row(table.block_format, table.inputs, table.weights, row, out);
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
            kernels.block_matmul(
                w.block_format, count, n, w.inputs, x,
                kernels::block_rows(w.block_format, w.weights, w.inputs, outputs.begin), to,
                y_stride);
            break;
        case Packing::kTernary2Bit:
            BITNETD_CHECK(false);
    }
}

}  // namespace bitnetd::worker
