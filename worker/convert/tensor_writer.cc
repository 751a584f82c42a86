#include "worker/convert/tensor_writer.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "common/base/check.h"
#include "common/quant/encode.h"
#include "common/quant/float_rows.h"
#include "common/quant/half.h"

namespace bitnetd::worker {
namespace {

using quant::Type;

uint64_t row_bytes(Type type, uint64_t columns) {
    const quant::TypeInfo& info = quant::info_of(type);
    return info.row_header_bytes + columns / info.block_elements * info.block_bytes;
}

bool rounds_scale(Type type) {
    return type == Type::kTQ1_0 || type == Type::kTQ2_0;
}

std::string exactly(float value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.9g", static_cast<double>(value));
    return text;
}

// The rows of one ternary matrix, encoded, and what that does to its scales.
class TernaryEncoder {
  public:
    TernaryEncoder(Type type, quant::TernaryMatrix& matrix)
        : type_(type), columns_(matrix.shape().columns) {
        // Elements that share a scale, at most a row.
        constexpr uint64_t kBlock = 256;
        group_ = matrix.scales_per() == quant::ScalesPer::kBlockOf256 ? kBlock : columns_;
        shared_scale_ = matrix.scales_per() == quant::ScalesPer::kMatrix;
    }

    Result<void> encode(std::span<const int8_t> digits, std::span<const float> scales,
                        std::span<std::byte> out) {
        const uint64_t out_bytes = row_bytes(type_, group_);
        for (size_t i = 0; i * group_ < digits.size(); ++i) {
            const auto part = digits.subspan(i * group_, group_);
            const bool all_zero =
                std::all_of(part.begin(), part.end(), [](int8_t digit) { return digit == 0; });
            const float scale = shared_scale_ ? scales[0] : scales[i];
            // The scale of nothing but zeros says nothing.
            if (!all_zero) BITNETD_TRY(take(scale));
            BITNETD_TRY(quant::encode_digits(type_, part, all_zero ? scale_ : scale,
                                             out.subspan(i * out_bytes, out_bytes)));
        }
        return {};
    }

    // Of a matrix without any weight but zero: 0.
    float scale() const { return scale_; }
    double error() const { return error_; }

  private:
    Result<void> take(float scale) {
        if (seen_ && scale_ == scale) return {};
        if (seen_ && type_ == Type::kI2_S) {
            return unsupported("it has several scales (" + exactly(scale_) + ", " + exactly(scale) +
                               "), and I2_S has one for a matrix; use TQ2_0, TQ1_0 or F32");
        }
        seen_ = true;
        scale_ = scale;
        if (quant::scale_is_exact(type_, scale)) return {};
        if (!rounds_scale(type_)) {
            return unsupported(std::string(quant::name_of(type_)) + " cannot hold its scale " +
                               exactly(scale) + " without rounding; use F32 or I2_S");
        }
        const float stored = quant::half_to_float(quant::float_to_half(scale));
        error_ = std::max(error_, std::fabs(static_cast<double>(stored) / scale - 1));
        return {};
    }

    Type type_;
    uint64_t columns_;
    uint64_t group_;
    bool shared_scale_;
    bool seen_ = false;
    float scale_ = 0;  // the last one, of those of weights that are not all zero
    double error_ = 0;
};

Result<double> write_ternary(quant::TernaryMatrix& matrix, const PlannedConversion& plan,
                             const PartSink& sink, const ByteCount& progress) {
    const quant::Shape shape = matrix.shape();
    const uint64_t step = rows_per_part(shape, matrix.row_step());
    const uint64_t rows_max = std::min(step, shape.rows);
    std::vector<int8_t> digits(rows_max * shape.columns);
    std::vector<float> scales(matrix.scale_count(rows_max));
    std::vector<std::byte> encoded(rows_max * row_bytes(plan.type, shape.columns));
    TernaryEncoder encoder(plan.type, matrix);
    RowBytes told(*plan.tensor, progress);
    for (uint64_t row = 0; row < shape.rows; row += step) {
        const uint64_t count = std::min(step, shape.rows - row);
        const auto part = std::span(digits).first(count * shape.columns);
        const auto part_scales = std::span(scales).first(matrix.scale_count(count));
        const auto out = std::span(encoded).first(count * row_bytes(plan.type, shape.columns));
        BITNETD_TRY(matrix.read_rows(row, count, part, part_scales));
        BITNETD_TRY(encoder.encode(part, part_scales, out));
        BITNETD_TRY(sink(out));
        told.done_until(row + count);
    }
    if (plan.type == Type::kI2_S) BITNETD_TRY(sink(quant::i2_s_tail(encoder.scale())));
    return encoder.error();
}

// How far values move when they are stored and read again.
class FloatError {
  public:
    void add(Type type, std::span<const float> values, std::span<const std::byte> stored) {
        decoded_.resize(values.size());
        quant::decode_floats(type, stored, decoded_);
        for (size_t i = 0; i < values.size(); ++i) {
            largest_ = std::max(largest_, std::fabs(values[i]));
            moved_ = std::max(moved_, std::fabs(values[i] - decoded_[i]));
        }
    }
    double relative() const { return moved_ == 0 ? 0 : double{moved_} / double{largest_}; }

  private:
    std::vector<float> decoded_;
    float largest_ = 0;
    float moved_ = 0;
};

Result<double> write_floats(ModelInput& input, const PlannedConversion& plan, const PartSink& sink,
                            const ByteCount& progress) {
    const quant::Shape shape = plan.tensor->shape;
    const uint64_t step = rows_per_part(shape, 1);
    const uint64_t bytes = row_bytes(plan.type, shape.columns);
    std::vector<float> values(std::min(step, shape.rows) * shape.columns);
    std::vector<std::byte> encoded(std::min(step, shape.rows) * bytes);
    FloatError error;
    RowBytes told(*plan.tensor, progress);
    for (uint64_t row = 0; row < shape.rows; row += step) {
        const uint64_t count = std::min(step, shape.rows - row);
        const auto part = std::span(values).first(count * shape.columns);
        const auto out = std::span(encoded).first(count * bytes);
        BITNETD_TRY(input.read_floats(*plan.tensor, row, count, part));
        for (uint64_t i = 0; i < count; ++i) {
            BITNETD_TRY(quant::encode_floats(plan.type,
                                             part.subspan(i * shape.columns, shape.columns),
                                             out.subspan(i * bytes, bytes)));
        }
        error.add(plan.type, part, out);
        BITNETD_TRY(sink(out));
        told.done_until(row + count);
    }
    return error.relative();
}

Result<double> copy_bytes(ModelInput& input, const PlannedConversion& plan, const PartSink& sink,
                          const ByteCount& progress) {
    const quant::Shape shape = plan.tensor->shape;
    const uint64_t step = rows_per_part(shape, quant::info_of(plan.type).rows_multiple);
    const uint64_t bytes = row_bytes(plan.type, shape.columns);
    std::vector<std::byte> rows(std::min(step, shape.rows) * bytes);
    RowBytes told(*plan.tensor, progress);
    for (uint64_t row = 0; row < shape.rows; row += step) {
        const uint64_t count = std::min(step, shape.rows - row);
        const auto part = std::span(rows).first(count * bytes);
        BITNETD_TRY(input.read_bytes(*plan.tensor, row, count, part));
        BITNETD_TRY(sink(part));
        told.done_until(row + count);
    }
    return 0.0;
}

}  // namespace

Result<double> write_tensor(ModelInput& input, const PlannedConversion& plan, const PartSink& sink,
                            const ByteCount& progress) {
    switch (plan.way) {
        case PlannedConversion::Way::kFloats:
            return write_floats(input, plan, sink, progress);
        case PlannedConversion::Way::kBytes:
            return copy_bytes(input, plan, sink, progress);
        case PlannedConversion::Way::kTernary:
            break;
    }
    if (plan.detected) return write_ternary(*plan.detected, plan, sink, progress);
    BITNETD_ASSIGN(const auto matrix, input.open_ternary(*plan.tensor));
    return write_ternary(*matrix, plan, sink, progress);
}

}  // namespace bitnetd::worker
