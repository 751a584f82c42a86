#include "worker/prepare/pack_screen.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "common/quant/block_codes.h"
#include "common/quant/encode.h"
#include "common/quant/float_rows.h"
#include "worker/kernels/block_pack.h"

namespace bitnetd::worker {
namespace {

constexpr uint64_t kValuesAtOnce = 1u << 18;
constexpr quant::Type kScreenType = quant::Type::kQ8_0;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

float rounded_up(double value) {
    return std::nextafter(static_cast<float>(value), kInfinity);
}

class RowPacker {
  public:
    explicit RowPacker(uint64_t columns) : bytes_(columns / kScreenUnit * 34), decoded_(columns) {}

    // errors: of this row.
    void pack(std::span<const float> row, int64_t index, std::byte* codes, float* errors) {
        errors[0] = errors[1] = kInfinity;
        if (!quant::encode_floats(kScreenType, row, bytes_).ok()) return;
        quant::split_row(kScreenType, bytes_, row.size(), numbers_);
        kernels::pack_block_row(kScreenFormat, numbers_, index, reinterpret_cast<uint8_t*>(codes));
        quant::decode_floats(kScreenType, bytes_, decoded_);
        double error = 0;
        double norm = 0;
        for (size_t t = 0; t < row.size(); ++t) {
            const double held = decoded_[t];
            const double rest = row[t] - held;
            error += rest * rest;
            norm += held * held;
        }
        errors[0] = rounded_up(std::sqrt(error));
        errors[1] = rounded_up(std::sqrt(norm));
    }

  private:
    std::vector<std::byte> bytes_;
    std::vector<float> decoded_;
    quant::BlockCodes numbers_;
};

}  // namespace

Result<void> pack_screen(ModelInput& input, const ModelTensor& matrix, std::byte* codes,
                         std::span<float> errors) {
    const uint64_t columns = matrix.shape.columns;
    const uint64_t at_once = std::max<uint64_t>(1, kValuesAtOnce / columns);
    std::vector<float> values;
    RowPacker packer(columns);
    for (uint64_t row = 0; row < matrix.shape.rows; row += at_once) {
        const uint64_t count = std::min(at_once, matrix.shape.rows - row);
        values.resize(count * columns);
        BITNETD_TRY(input.read_floats(matrix, row, count, values));
        for (uint64_t i = 0; i < count; ++i) {
            packer.pack(std::span<const float>(values).subspan(i * columns, columns),
                        static_cast<int64_t>(row + i), codes, errors.data() + 2 * (row + i));
        }
    }
    return {};
}

}  // namespace bitnetd::worker
