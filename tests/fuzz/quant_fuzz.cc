// Goal: no bytes make a tensor decoder crash or read out of bounds; what it accepts are digits -1,
// 0 and +1 with finite scales. Method: the input begins with a type, a shape and options, the rest
// is the tensor; a list of tiles for inputs whose first byte is above 127.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "common/quant/float_rows.h"
#include "common/quant/ternary_matrix.h"
#include "common/quant/type_ids.h"

namespace {

using namespace bitnetd;
using namespace bitnetd::quant;

constexpr size_t kHeadBytes = 12;

void decode_as_floats(Type type, std::span<const std::byte> bytes) {
    const TypeInfo& info = info_of(type);
    const size_t blocks = bytes.size() / info.block_bytes;
    std::vector<float> out(blocks * info.block_elements);
    decode_floats(type, bytes.first(blocks * info.block_bytes), out);
    static_cast<void>(first_not_finite(out));
}

void decode_as_ternary(Type type, Shape shape, std::span<const std::byte> bytes,
                       const TernaryOptions& options) {
    const auto matrix = open_ternary(type, shape, read_from(bytes), options);
    if (!matrix.ok()) {
        if (matrix.error().message.empty()) std::abort();
        return;
    }
    const uint64_t step = (*matrix)->row_step();
    if (step == 0 || shape.rows % step != 0) std::abort();
    std::vector<int8_t> digits(static_cast<size_t>(step * shape.columns));
    std::vector<float> scales((*matrix)->scale_count(step));
    for (uint64_t row = 0; row < shape.rows; row += step) {
        if (!(*matrix)->read_rows(row, step, digits, scales).ok()) return;
        for (const int8_t digit : digits) {
            if (digit < -1 || digit > 1) std::abort();
        }
        for (const float scale : scales) {
            if (!std::isfinite(scale)) std::abort();
        }
    }
}

}  // namespace

// Bytes 0: type; 1: 32 rows each; 2: 32 columns each; 3: rows and columns more; 4: options; 5..7: a
// tile in units of 32 rows, 8 columns and 32 rows; 8..11: a number that may be a type's.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const auto all = std::as_bytes(std::span(data, size));
    if (size > 0 && (data[0] & 0x80) != 0) {
        const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
        static_cast<void>(parse_tiles(text));
        static_cast<void>(parse_i2s_layout(text));
        return 0;
    }
    if (size < kHeadBytes) return 0;
    const auto type = static_cast<Type>(data[0] % (static_cast<int>(Type::kNVFP4) + 1));
    const Shape shape{data[1] * 32u + (data[3] & 15), data[2] * 32u + (data[3] >> 4)};
    TernaryOptions options;
    options.i2s_layout = static_cast<I2sLayout>(data[4] % 3);
    options.row_scales = (data[4] & 4) != 0 ? RowScales::kAbsent : RowScales::kCurrent;
    if ((data[4] & 8) != 0) {
        options.tiles = {{shape, {data[5] * 32u, data[6] * 8u, data[7] * 32u}}};
    }
    const auto bytes = all.subspan(kHeadBytes);
    if (float_decoder(type) != nullptr) decode_as_floats(type, bytes);
    if (info_of(type).ternary) decode_as_ternary(type, shape, bytes, options);

    TensorPlace place;
    place.shape = shape;
    place.matrices = data[9];
    place.bytes_until_next = bytes.size();
    place.alignment = 1ull << (data[10] % 17);
    if (data[11] != 0) place.file_type = data[11];
    const auto resolved = resolve_type(load<uint16_t>(data + 8) & 511, place);
    if (resolved.ok() && resolved->bytes > bytes.size()) std::abort();
    return 0;
}
