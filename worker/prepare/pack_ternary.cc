#include "worker/prepare/pack_ternary.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "worker/kernels/kernel_api.h"
#include "worker/kernels/ternary_pack.h"

namespace bitnetd::worker {
namespace {

// Digits in work at a time: they stay in the core's cache from decoding to packing.
constexpr uint64_t kDigitsAtOnce = 1u << 18;

// Digits of a part with a negative scale change their signs, those of one with scale 0 become 0.
void apply_sign(float scale, std::span<int8_t> digits) {
    if (scale > 0) return;
    const auto factor = static_cast<int8_t>(scale < 0 ? -1 : 0);
    for (int8_t& digit : digits)
        digit = static_cast<int8_t>(factor * digit);
}

}  // namespace

Result<void> OneMagnitude::take(float magnitude) {
    if (magnitude == 0 || magnitude == value_) return {};
    if (value_ == 0) {
        value_ = magnitude;
        return {};
    }
    return unsupported("it has parts with scale " + std::to_string(value_) + " and with " +
                       std::to_string(magnitude) +
                       "; a ternary layer has one scale for all its weights");
}

Result<float> pack_ternary(quant::TernaryMatrix& matrix, RowRange rows, std::byte* out) {
    const uint64_t columns = matrix.shape().columns;
    const uint64_t step = matrix.row_step();
    if (rows.first % step != 0 || rows.count % step != 0) {
        return unsupported("rows " + std::to_string(rows.first) + " to " +
                           std::to_string(rows.first + rows.count) +
                           " of a matrix that is stored in groups of " + std::to_string(step));
    }
    const uint64_t at_once = std::max<uint64_t>(1, kDigitsAtOnce / columns / step) * step;
    const int64_t packed_bytes = kernels::ternary_row_bytes(static_cast<int64_t>(columns));
    std::vector<int8_t> digits(static_cast<size_t>(std::min(at_once, rows.count) * columns));
    std::vector<float> scales(matrix.scale_count(std::min(at_once, rows.count)));
    OneMagnitude magnitude;
    for (uint64_t row = 0; row < rows.count; row += at_once) {
        const uint64_t count = std::min(at_once, rows.count - row);
        const auto part = std::span(digits).first(static_cast<size_t>(count * columns));
        const auto part_scales = std::span(scales).first(matrix.scale_count(count));
        BITNETD_TRY(matrix.read_rows(rows.first + row, count, part, part_scales));
        const size_t per_scale = part.size() / part_scales.size();
        for (size_t i = 0; i < part_scales.size(); ++i) {
            apply_sign(part_scales[i], part.subspan(i * per_scale, per_scale));
            auto taken = magnitude.take(std::fabs(part_scales[i]));
            if (!taken) {
                return std::move(taken).error().within(
                    "row " + std::to_string(rows.first + row + i * per_scale / columns));
            }
        }
        for (uint64_t i = 0; i < count; ++i) {
            kernels::pack_ternary_row(part.data() + i * columns, static_cast<int64_t>(columns),
                                      reinterpret_cast<uint8_t*>(out));
            out += packed_bytes;
        }
    }
    return magnitude.value();
}

}  // namespace bitnetd::worker
