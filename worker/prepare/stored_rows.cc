#include "worker/prepare/stored_rows.h"

#include <algorithm>

#include "common/base/check.h"

namespace bitnetd::worker {

Result<StoredRows> StoredRows::open(ModelInput& input, const PlannedTensor& tensor) {
    StoredRows out(input, tensor);
    if (tensor.source->ternary) {
        BITNETD_ASSIGN(out.matrix_, input.open_ternary(*tensor.source));
    }
    if (tensor.scale == nullptr) return out;
    float factor = 0;
    BITNETD_TRY(input.read_floats(*tensor.scale, 0, 1, {&factor, 1}));
    out.factor_ = factor;
    return out;
}

Result<void> StoredRows::read(uint64_t first, uint64_t count, std::span<double> out) {
    const uint64_t columns = tensor_->entry.columns;
    BITNETD_CHECK(out.size() == count * columns);
    BITNETD_CHECK(first + count <= tensor_->entry.rows);
    first += tensor_->first_row;
    if (matrix_ == nullptr) return read_floats(first, count, out);
    BITNETD_TRY(decode(first, count));
    const size_t per_scale = digits_.size() / scales_.size();
    size_t at = (first - decoded_first_) * columns;
    for (size_t done = 0; done < out.size();) {
        const size_t count_here = std::min(per_scale - at % per_scale, out.size() - done);
        const double scale = scales_[at / per_scale] * factor_;
        for (size_t i = 0; i < count_here; ++i)
            out[done + i] = digits_[at + i] * scale;
        done += count_here;
        at += count_here;
    }
    return {};
}

Result<void> StoredRows::read_floats(uint64_t first, uint64_t count, std::span<double> out) {
    values_.resize(out.size());
    BITNETD_TRY(input_->read_floats(*tensor_->source, first, count, values_));
    std::transform(values_.begin(), values_.end(), out.begin(),
                   [this](float value) { return value * factor_; });
    return {};
}

Result<void> StoredRows::decode(uint64_t first, uint64_t count) {
    const bool decoded =
        first >= decoded_first_ && first + count <= decoded_first_ + decoded_count_;
    if (decoded) return {};
    const uint64_t step = matrix_->row_step();
    const uint64_t begin = first / step * step;
    const uint64_t end = (first + count + step - 1) / step * step;
    digits_.resize((end - begin) * matrix_->shape().columns);
    scales_.resize(matrix_->scale_count(end - begin));
    decoded_count_ = 0;
    BITNETD_TRY(matrix_->read_rows(begin, end - begin, digits_, scales_));
    decoded_first_ = begin;
    decoded_count_ = end - begin;
    return {};
}

}  // namespace bitnetd::worker
