// The part of the self-check that looks at the kernels of packed block matrices.
#include <algorithm>

#include "worker/kernels/self_check_parts.h"
#include "worker/kernels/tables.h"

namespace bitnetd::kernels {
namespace {

struct BlockShape {
    BlockFormat format;
    int32_t m;
    int32_t n;
    int32_t k;
    bool extreme;  // the largest sums there can be
};

BlockShape shape(BlockFormat format, Random& random) {
    const BlockLayout& layout = layout_of(format);
    const int32_t units = random.in(1, layout.unit == 32 ? 9 : 2);
    const int32_t m = random.one_in(4) ? random.in(8, 19) : random.in(1, 7);
    return {format, m, random.in(1, 37), units * layout.unit, random.one_in(4)};
}

uint16_t random_half(Random& random) {
    const float value[1] = {std::ldexp(random.real(1.0f), random.in(-12, 1))};
    uint16_t half[1];
    reference::kTable.f32_to_f16(1, value, half);
    return half[0];
}

uint8_t random_code(const BlockLayout& layout, Random& random, bool extreme) {
    if (extreme) return static_cast<uint8_t>(random.one_in(8) ? 0 : layout.code_max);
    return static_cast<uint8_t>(random.in(0, layout.code_max));
}

// Any matrix that packing can make, and the bytes of rows that fill up the last stripe besides.
std::vector<uint8_t> matrix(const BlockShape& of, Random& random) {
    const BlockLayout& layout = layout_of(of.format);
    std::vector<uint8_t> bytes(static_cast<size_t>(block_matrix_bytes(of.format, of.n, of.k)));
    for (size_t at = 0; at < bytes.size(); at += static_cast<size_t>(layout.unit_bytes())) {
        uint8_t* unit = bytes.data() + at;
        for (int32_t i = 0; i < layout.scales_at(); i += 2) {
            const uint16_t half = random_half(random);
            std::memcpy(unit + i, &half, sizeof half);
        }
        for (int32_t i = layout.scales_at(); i < layout.codes_at(); ++i)
            unit[i] = static_cast<uint8_t>(random.next());
        for (int32_t i = layout.codes_at(); i < layout.unit_bytes(); ++i) {
            unit[i] = random_code(layout, random, of.extreme);
            if (layout.code_bits == 4) unit[i] |= random_code(layout, random, of.extreme) << 4;
        }
    }
    return bytes;
}

// Blocks of zeros and of specks among them.
std::vector<float> blocks_of_values(Random& random, int64_t count) {
    std::vector<float> x = values(random, count);
    for (size_t at = 0; at + kTileColumns <= x.size(); at += kTileColumns) {
        const float factor = random.one_in(12) ? 0.0f : random.one_in(12) ? 1e-32f : 1.0f;
        for (size_t t = at; t < at + kTileColumns; ++t)
            x[t] *= factor;
    }
    return x;
}

struct Quantised {
    std::vector<int8_t> q;
    std::vector<float> d;
    std::vector<int32_t> q_sum;

    Quantised(int32_t m, int32_t k)
        : q(output<int8_t>(int64_t{m} * k)),
          d(output<float>(int64_t{m} * k / 32)),
          q_sum(output<int32_t>(int64_t{m} * k / 16)) {}
};

bool same_quantise_blocks(const KernelTable& table, Random& random) {
    const int32_t m = random.in(1, 5);
    const int32_t k = random.in(1, 12) * 32;
    const int64_t stride = k + random.in(0, 9);
    const std::vector<float> x = blocks_of_values(random, m * stride);
    Quantised a(m, k);
    Quantised b(m, k);
    table.quantise_blocks(m, k, x.data(), stride, a.q.data(), a.d.data(), a.q_sum.data());
    reference::kTable.quantise_blocks(m, k, x.data(), stride, b.q.data(), b.d.data(),
                                      b.q_sum.data());
    return same(a.q, b.q) && same(a.d, b.d) && same(a.q_sum, b.q_sum);
}

bool same_gemm(const KernelTable& table, BlockFormat format, Random& random) {
    const BlockShape of = shape(format, random);
    const std::vector<uint8_t> w = matrix(of, random);
    std::vector<float> x = blocks_of_values(random, int64_t{of.m} * of.k);
    if (of.extreme) {
        const float sign = random.one_in(2) ? 1.0f : -1.0f;
        std::fill(x.begin(), x.end(), sign);
    }
    Quantised in(of.m, of.k);
    reference::kTable.quantise_blocks(of.m, of.k, x.data(), of.k, in.q.data(), in.d.data(),
                                      in.q_sum.data());
    const int64_t stride = of.n + random.in(0, 5);
    std::vector<float> y[2] = {output<float>(of.m * stride), output<float>(of.m * stride)};
    const KernelTable* tables[2] = {&table, &reference::kTable};
    for (int i = 0; i < 2; ++i) {
        tables[i]->block_gemm(of.format, of.m, of.n, of.k, in.q.data(), in.d.data(),
                              in.q_sum.data(), w.data(), y[i].data(), stride);
    }
    return same(y[0], y[1]);
}

bool same_matmul(const KernelTable& table, BlockFormat format, Random& random) {
    const BlockShape of = shape(format, random);
    const std::vector<uint8_t> w = matrix(of, random);
    const std::vector<float> x = values(random, int64_t{of.m} * of.k);
    const int64_t stride = of.n + random.in(0, 5);
    std::vector<float> y[2] = {output<float>(of.m * stride), output<float>(of.m * stride)};
    const KernelTable* tables[2] = {&table, &reference::kTable};
    for (int i = 0; i < 2; ++i) {
        tables[i]->block_matmul(of.format, of.m, of.n, of.k, x.data(), w.data(), y[i].data(),
                                stride);
    }
    return same(y[0], y[1]);
}

bool same_row(const KernelTable& table, BlockFormat format, Random& random) {
    const BlockShape of = shape(format, random);
    const std::vector<uint8_t> w = matrix(of, random);
    const int64_t j = random.in(0, of.n - 1);
    std::vector<float> y[2] = {output<float>(of.k), output<float>(of.k)};
    table.block_row(of.format, of.k, w.data(), j, y[0].data());
    reference::kTable.block_row(of.format, of.k, w.data(), j, y[1].data());
    return same(y[0], y[1]);
}

}  // namespace

const char* first_block_difference(const KernelTable& table, uint64_t seed, Random& random) {
    if (!same_quantise_blocks(table, random)) return "quantise_blocks";
    for (uint64_t i = 2 * seed; i < 2 * seed + 2; ++i) {
        const auto format = static_cast<BlockFormat>(i % kBlockFormats);
        if (!same_gemm(table, format, random)) return "block_gemm";
        if (!same_matmul(table, format, random)) return "block_matmul";
        if (!same_row(table, format, random)) return "block_row";
    }
    return nullptr;
}

}  // namespace bitnetd::kernels
