#include "worker/prepare/pack_blocks.h"

#include <algorithm>
#include <span>
#include <vector>

#include "common/quant/block_codes.h"
#include "worker/kernels/block_pack.h"

namespace bitnetd::worker {

Result<void> pack_blocks(ModelInput& input, const PlannedTensor& tensor, RowRange rows,
                         std::byte* out) {
    constexpr uint64_t kValuesAtOnce = 1u << 16;
    const ModelTensor& source = *tensor.source;
    const uint64_t columns = source.shape.columns;
    const size_t row_bytes = source.bytes / source.shape.rows;
    const auto format = static_cast<kernels::BlockFormat>(tensor.entry.block_format);
    const uint64_t at_once = std::max<uint64_t>(1, kValuesAtOnce / columns);
    std::vector<std::byte> bytes;
    std::vector<float> values;  // read only to know that they are finite
    quant::BlockCodes codes;
    const uint64_t end = rows.first + rows.count;
    for (uint64_t row = rows.first; row < end; row += at_once) {
        const uint64_t count = std::min(at_once, end - row);
        bytes.resize(count * row_bytes);
        values.resize(count * columns);
        BITNETD_TRY(input.read_floats(source, tensor.first_row + row, count, values));
        BITNETD_TRY(input.read_bytes(source, tensor.first_row + row, count, bytes));
        for (uint64_t i = 0; i < count; ++i) {
            quant::split_row(source.type, std::span(bytes).subspan(i * row_bytes, row_bytes),
                             columns, codes);
            kernels::pack_block_row(format, codes, static_cast<int64_t>(row + i),
                                    reinterpret_cast<uint8_t*>(out));
        }
    }
    return {};
}

}  // namespace bitnetd::worker
