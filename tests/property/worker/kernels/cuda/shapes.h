// Random rows and ternary matrices, as the reference reads them and as the device does.
#pragma once

#include <cstring>
#include <vector>

#include "tests/property/worker/kernels/cuda/random_shapes.h"
#include "tests/support/cuda/emulated_table.h"
#include "tests/support/cuda/stream.h"
#include "worker/kernels/cuda/layout.h"
#include "worker/kernels/kernel_api.h"
#include "worker/kernels/tables.h"
#include "worker/kernels/ternary_pack.h"

namespace bitnetd::kernels::cuda_emulated {

inline std::vector<float> reals(Random& random, int64_t count, float limit = 2.0f) {
    std::vector<float> values(static_cast<size_t>(count));
    for (float& value : values)
        value = random.real(limit);
    return values;
}

inline std::vector<int8_t> codes(Random& random, int64_t count, int32_t low, int32_t high) {
    std::vector<int8_t> values(static_cast<size_t>(count));
    for (int8_t& value : values)
        value = static_cast<int8_t>(random.in(low, high));
    return values;
}

// A ternary matrix: as the reference reads it and as the device does.
struct TernaryMatrix {
    std::vector<uint8_t> packed;
    std::vector<std::byte> device;
    std::vector<float> bias;
    cuda::Matrix matrix;

    TernaryMatrix(Random& random, int32_t n, int32_t k, bool has_bias) {
        const std::vector<int8_t> digits = codes(random, int64_t{n} * k, -1, 1);
        packed.resize(static_cast<size_t>(n * ternary_row_bytes(k)));
        for (int64_t j = 0; j < n; ++j)
            pack_ternary_row(digits.data() + j * k, k, packed.data() + j * ternary_row_bytes(k));
        const cuda::HostMatrix host{reinterpret_cast<const std::byte*>(packed.data()),
                                    cuda::MatrixKind::kTernary,
                                    {},
                                    n,
                                    k};
        device.resize(static_cast<size_t>(cuda::device_bytes(host, n)));
        cuda::lay_out(host, 0, n, device.data());
        if (has_bias) bias = reals(random, n);
        matrix = {.data = device.data(),
                  .kind = cuda::MatrixKind::kTernary,
                  .rows = n,
                  .columns = k,
                  .scale = random.real(2.0f),
                  .bias = has_bias ? bias.data() : nullptr};
    }
};

// Buffers for m rows of k values, whatever the rounding; filled with what no kernel writes.
struct RoundedRows {
    std::vector<int8_t> values;
    std::vector<float> scales;
    std::vector<int32_t> sums;

    RoundedRows(int64_t m, int32_t k)
        : values(static_cast<size_t>(m * ternary_padded(k)), int8_t{-128}),
          scales(static_cast<size_t>(m * (k / 32 + 1)), -7.0f),
          sums(static_cast<size_t>(m * (k / 16 + 1)), -7) {}

    cuda::Rounded view() { return {values.data(), scales.data(), sums.data()}; }
    bool operator==(const RoundedRows& other) const {
        return values == other.values && sums == other.sums &&
               std::memcmp(scales.data(), other.scales.data(), scales.size() * sizeof scales[0]) ==
                   0;
    }
};

}  // namespace bitnetd::kernels::cuda_emulated
