#include "worker/prepare/pack_tensor.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <vector>

#include "common/base/check.h"
#include "common/quant/float_rows.h"
#include "worker/kernels/block_format.h"
#include "worker/prepare/pack_blocks.h"
#include "worker/prepare/pack_screen.h"
#include "worker/prepare/pack_ternary.h"
#include "worker/prepare/ternary_values.h"

namespace bitnetd::worker {
namespace {

using shm::Packing;

// Values in work at a time: they stay in the core's cache from reading to packing.
constexpr uint64_t kValuesAtOnce = 1u << 16;

// A range of a fused vector counts by its values, of a matrix by its rows.
bool is_vector(const PlannedTensor& tensor) {
    return tensor.source->shape.rows == 1;
}

// A ternary type reads any rows by itself; masters are rounded by the mean of the whole matrix.
bool is_master(const ModelTensor& tensor) {
    return tensor.ternary && !quant::info_of(tensor.type).ternary;
}

Result<std::unique_ptr<quant::TernaryMatrix>> open_digits(ModelInput& input,
                                                          const ModelTensor& tensor) {
    if (tensor.ternary) return input.open_ternary(tensor);
    return read_as_ternary(input, tensor);
}

// Calls f(first row, rows) for parts of `rows`.
template <typename F>
Result<void> for_parts(RowRange rows, uint64_t columns, F f) {
    const uint64_t at_once = std::max<uint64_t>(1, kValuesAtOnce / columns);
    for (uint64_t done = 0; done < rows.count; done += at_once)
        BITNETD_TRY(f(rows.first + done, std::min(at_once, rows.count - done)));
    return {};
}

class RowsPacker {
  public:
    RowsPacker(ModelInput& input, const PlannedTensor& tensor, RowRange rows,
               const PackTarget& target)
        : input_(input),
          planned_(tensor),
          source_(*tensor.source),
          columns_(tensor.source->shape.columns),
          rows_(rows),
          target_(target) {}

    Result<float> pack() {
        switch (planned_.entry.packing) {
            case Packing::kTernary2Bit:
                return pack_digits();
            case Packing::kF32:
                BITNETD_TRY(pack_f32());
                break;
            case Packing::kF16:
            case Packing::kBF16:
                BITNETD_TRY(pack_halves());
                break;
            case Packing::kBlocks:
                BITNETD_TRY(pack_blocks(input_, planned_, rows_, target_.bytes));
                break;
        }
        return 1.0f;
    }

  private:
    Result<float> pack_digits() {
        BITNETD_ASSIGN(const auto matrix, open_digits(input_, source_));
        const uint64_t row_bytes = planned_.entry.bytes / planned_.entry.rows;
        return pack_ternary(*matrix, {planned_.first_row + rows_.first, rows_.count},
                            target_.bytes + rows_.first * row_bytes);
    }

    Result<void> pack_f32() {
        auto* const out = reinterpret_cast<float*>(target_.bytes);
        if (is_vector(planned_) && columns_ != planned_.entry.columns) {
            return pack_part_of_vector(out);
        }
        return for_parts(rows_, columns_, [&](uint64_t row, uint64_t count) -> Result<void> {
            const std::span<float> values(out + row * columns_, count * columns_);
            BITNETD_TRY(input_.read_floats(source_, planned_.first_row + row, count, values));
            screen(row, values);
            return {};
        });
    }

    // The bias of one part of a fused matrix.
    Result<void> pack_part_of_vector(float* out) {
        std::vector<float> all(columns_);
        BITNETD_TRY(input_.read_floats(source_, 0, 1, all));
        std::copy_n(all.data() + planned_.first_row, planned_.entry.columns, out);
        return {};
    }

    // 16-bit floats are kept as they are, once it is known that they are finite.
    Result<void> pack_halves() {
        const size_t row_bytes = columns_ * sizeof(uint16_t);
        std::vector<float> values;
        return for_parts(rows_, columns_, [&](uint64_t row, uint64_t count) -> Result<void> {
            const uint64_t first = planned_.first_row + row;
            const std::span<std::byte> bytes(target_.bytes + row * row_bytes, count * row_bytes);
            BITNETD_TRY(input_.read_bytes(source_, first, count, bytes));
            values.resize(count * columns_);
            quant::decode_floats(source_.type, bytes, values);
            // Reading them as floats says where it is.
            if (quant::first_not_finite(values))
                return input_.read_floats(source_, first, count, values);
            screen(row, values);
            return {};
        });
    }

    void screen(uint64_t row, std::span<const float> values) {
        if (target_.screen == nullptr) return;
        if (!screen_rows_) screen_rows_ = std::make_unique<ScreenPacker>(columns_);
        for (size_t at = 0; at < values.size(); at += columns_, ++row) {
            screen_rows_->pack(values.subspan(at, columns_), row, target_.screen->codes,
                               target_.screen->errors.subspan(2 * row).first<2>());
        }
    }

    ModelInput& input_;
    const PlannedTensor& planned_;
    const ModelTensor& source_;
    const size_t columns_;
    const RowRange rows_;
    const PackTarget& target_;
    std::unique_ptr<ScreenPacker> screen_rows_;
};

}  // namespace

Result<uint64_t> rows_to_cut_at(ModelInput& input, const PlannedTensor& tensor) {
    const uint64_t all = tensor.entry.rows;
    if (is_vector(tensor) || is_master(*tensor.source)) return all;
    // A stripe of a block format is written by one thread, one of a screen too.
    if (tensor.entry.packing != Packing::kTernary2Bit) return uint64_t{kernels::kStripeRows};
    BITNETD_ASSIGN(const auto matrix, open_digits(input, *tensor.source));
    const uint64_t step = matrix->row_step();
    if (tensor.first_row % step != 0 || all % step != 0) return all;  // refused when it is packed
    return std::lcm<uint64_t>(step, kernels::kStripeRows);
}

Result<float> pack_rows(ModelInput& input, const PlannedTensor& tensor, RowRange rows,
                        const PackTarget& target) {
    BITNETD_CHECK(tensor.source != nullptr);
    BITNETD_CHECK(rows.first <= tensor.entry.rows && rows.count <= tensor.entry.rows - rows.first);
    return RowsPacker(input, tensor, rows, target).pack();
}

}  // namespace bitnetd::worker
