#include "common/quant/ternary_matrix.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/quant/ternary_families.h"

namespace bitnetd::quant {

std::string show(float value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.9g", static_cast<double>(value));
    return text;
}

std::string place(uint64_t row, uint64_t column) {
    return "row " + std::to_string(row) + ", column " + std::to_string(column);
}

Result<void> refuse_code_3(std::span<const int8_t> digits, uint64_t columns, uint64_t first_row) {
    const auto bad = std::find(digits.begin(), digits.end(), int8_t{2});
    if (bad == digits.end()) return {};
    const auto index = static_cast<uint64_t>(bad - digits.begin());
    return invalid(place(first_row + index / columns, index % columns) +
                   ": code 3, which stands for no ternary value");
}

ReadAt read_from(std::span<const std::byte> memory) {
    return [memory](uint64_t offset, std::span<std::byte> out) -> Result<void> {
        if (offset > memory.size() || out.size() > memory.size() - offset) {
            return invalid("the data ends at byte " + std::to_string(memory.size()) + ", but " +
                           std::to_string(out.size()) + " bytes are needed at byte " +
                           std::to_string(offset));
        }
        if (!out.empty()) std::memcpy(out.data(), memory.data() + offset, out.size());
        return {};
    };
}

Result<I2sLayout> parse_i2s_layout(std::string_view text) {
    if (text == "128/32") return I2sLayout::kBlocks128;
    if (text == "64/16") return I2sLayout::kBlocks64;
    if (text == "sequential") return I2sLayout::kSequential;
    return invalid("I2_S layout '" + std::string(text.substr(0, 40)) +
                   "' is none of 128/32, 64/16, sequential");
}

uint64_t block_elements(I2sLayout layout) {
    switch (layout) {
        case I2sLayout::kBlocks128:
            return 128;
        case I2sLayout::kBlocks64:
            return 64;
        case I2sLayout::kSequential:
            return 4;
    }
    BITNETD_CHECK(!"a known layout");
}

size_t TernaryMatrix::scale_count(uint64_t rows) const {
    switch (scales_per_) {
        case ScalesPer::kMatrix:
            return 1;
        case ScalesPer::kRow:
            return static_cast<size_t>(rows);
        case ScalesPer::kBlockOf256:
            return static_cast<size_t>(rows * (shape_.columns / 256));
    }
    BITNETD_CHECK(!"a known granularity");
}

Result<void> TernaryMatrix::read_rows(uint64_t first, uint64_t count, std::span<int8_t> digits,
                                      std::span<float> scales) {
    BITNETD_CHECK(first % row_step_ == 0 && count % row_step_ == 0);
    BITNETD_CHECK(first <= shape_.rows && count <= shape_.rows - first);
    BITNETD_CHECK(digits.size() == count * shape_.columns);
    BITNETD_CHECK(scales.size() == scale_count(count));
    return decode(first, count, digits, scales);
}

Result<const std::byte*> TernaryMatrix::fetch(uint64_t offset, uint64_t bytes,
                                              std::vector<std::byte>& buffer) {
    buffer.resize(static_cast<size_t>(bytes));
    BITNETD_TRY(read_(offset, buffer));
    return buffer.data();
}

Result<float> TernaryMatrix::fetch_scale(uint64_t offset) {
    std::byte bytes[sizeof(float)];
    BITNETD_TRY(read_(offset, bytes));
    const auto scale = load<float>(bytes);
    if (!std::isfinite(scale)) return invalid("its scale is " + show(scale));
    return scale;
}

OpenedTernary open_ternary(Type type, Shape shape, ReadAt read, const TernaryOptions& options) {
    BITNETD_TRY(matrix_bytes(type, shape, options.row_scales));
    switch (type) {
        case Type::kI2_S:
            return open_i2_s(shape, std::move(read), options);
        case Type::kTQ1_0:
        case Type::kTQ2_0:
            return open_tq(type, shape, std::move(read));
        case Type::kTL1:
            return open_tl1(shape, std::move(read), options);
        case Type::kTL2:
            return open_tl2(shape, std::move(read), options);
        case Type::kIQ1_BN:
        case Type::kIQ2_BN:
        case Type::kIQ2_BN_R4:
            return open_iq_bn(type, shape, std::move(read), options);
        case Type::kPackedU8:
            return open_packed_u8(shape, std::move(read), options);
        default:
            return unsupported(std::string(name_of(type)) + " is not a ternary type");
    }
}

}  // namespace bitnetd::quant
