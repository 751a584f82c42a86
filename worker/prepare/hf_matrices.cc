#include "worker/prepare/hf_matrices.h"

#include <algorithm>
#include <string>
#include <vector>

#include "common/base/check.h"
#include "common/quant/absmean.h"
#include "common/quant/float_rows.h"
#include "common/safetensors/row_permutation.h"

namespace bitnetd::worker {
namespace {

using quant::ScalesPer;
using quant::Shape;

constexpr uint64_t kReadBytes = 1u << 20;  // at a time, or one row

class MasterMatrix final : public quant::TernaryMatrix {
  public:
    MasterMatrix(quant::Type type, Shape shape, quant::ReadAt read)
        : TernaryMatrix(shape, std::move(read), 1, ScalesPer::kMatrix),
          type_(type),
          row_bytes_(shape.columns * quant::info_of(type).block_bytes) {}

    Result<void> find_mean() {
        quant::AbsMean mean;
        const uint64_t step = std::max<uint64_t>(kReadBytes / row_bytes_, 1);
        for (uint64_t row = 0; row < shape().rows; row += step) {
            BITNETD_TRY(fetch_values(row, std::min(step, shape().rows - row)));
            mean.add(values_);
        }
        mean_ = mean.value();
        return {};
    }

  protected:
    Result<void> decode(uint64_t first, uint64_t count, std::span<int8_t> digits,
                        std::span<float> scales) override {
        scales[0] = quant::ternary_scale(mean_, type_);
        BITNETD_TRY(fetch_values(first, count));
        quant::ternarise(values_, mean_, digits);
        return {};
    }

  private:
    // Into values_.
    Result<void> fetch_values(uint64_t first, uint64_t count) {
        const uint64_t bytes = count * row_bytes_;
        BITNETD_ASSIGN(const std::byte* const data, fetch(first * row_bytes_, bytes, buffer_));
        values_.resize(static_cast<size_t>(count * shape().columns));
        quant::decode_floats(type_, {data, static_cast<size_t>(bytes)}, values_);
        const auto bad = quant::first_not_finite(values_);
        if (!bad) return {};
        return invalid("row " + std::to_string(first + *bad / shape().columns) + ", column " +
                       std::to_string(*bad % shape().columns) + " is not finite");
    }

    quant::Type type_;
    uint64_t row_bytes_;
    float mean_ = 0;
    std::vector<std::byte> buffer_;
    std::vector<float> values_;
};

class PermutedMatrix final : public quant::TernaryMatrix {
  public:
    PermutedMatrix(TernaryMatrixPtr inner, uint64_t head_dim)
        : TernaryMatrix(inner->shape(), {}, 1, ScalesPer::kMatrix),
          inner_(std::move(inner)),
          head_dim_(head_dim) {}

  protected:
    Result<void> decode(uint64_t first, uint64_t count, std::span<int8_t> digits,
                        std::span<float> scales) override {
        const auto columns = static_cast<size_t>(shape().columns);
        for (uint64_t i = 0; i < count; ++i) {
            const uint64_t row = safetensors::hf_row(first + i, head_dim_);
            BITNETD_TRY(inner_->read_rows(row, 1, digits.subspan(i * columns, columns), scales));
        }
        return {};
    }

  private:
    TernaryMatrixPtr inner_;
    uint64_t head_dim_;
};

}  // namespace

Result<TernaryMatrixPtr> open_master(quant::Type type, Shape shape, quant::ReadAt read) {
    BITNETD_TRY(quant::matrix_bytes(type, shape));
    auto matrix = std::make_unique<MasterMatrix>(type, shape, std::move(read));
    BITNETD_TRY(matrix->find_mean());
    return TernaryMatrixPtr(std::move(matrix));
}

TernaryMatrixPtr in_gguf_order(TernaryMatrixPtr matrix, uint64_t head_dim) {
    BITNETD_CHECK(matrix->scales_per() == ScalesPer::kMatrix && matrix->row_step() == 1);
    BITNETD_CHECK(matrix->shape().rows % head_dim == 0);
    return std::make_unique<PermutedMatrix>(std::move(matrix), head_dim);
}

}  // namespace bitnetd::worker
