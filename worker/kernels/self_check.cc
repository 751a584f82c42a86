#include "worker/kernels/self_check.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "worker/kernels/self_check_parts.h"
#include "worker/kernels/tables.h"
#include "worker/kernels/ternary_pack.h"

namespace bitnetd::kernels {

std::vector<float> values(Random& random, int64_t count) {
    std::vector<float> out(static_cast<size_t>(count));
    for (float& value : out) {
        value = random.real(2.0f);
        if (random.one_in(64)) value *= 50.0f;
        if (random.one_in(64)) value = 0.0f;
        if (random.one_in(64)) value *= 1e-6f;
    }
    return out;
}

namespace {

constexpr int kSelfCheckSeeds = 8;

const KernelTable& reference_table() {
    return reference::kTable;
}

bool same_quantise(const KernelTable& table, Random& random) {
    const int32_t m = random.in(1, 5);
    const int32_t k = random.in(1, 700);
    const int64_t stride = k + random.in(0, 9);
    std::vector<float> x = values(random, m * stride);
    for (int32_t i = 0; i < m; ++i) {
        const float factor = random.one_in(6) ? 0.0f : random.one_in(6) ? 1e-7f : 1.0f;
        for (int32_t t = 0; t < k; ++t)
            x[static_cast<size_t>(i * stride + t)] *= factor;
    }
    const auto run = [&](const KernelTable& one, std::vector<int8_t>& q, std::vector<float>& scale,
                         std::vector<int32_t>& sum) {
        q = output<int8_t>(m * ternary_padded(k));
        scale = output<float>(m);
        sum = output<int32_t>(m);
        one.quantise_rows(m, k, x.data(), stride, q.data(), scale.data(), sum.data());
    };
    std::vector<int8_t> q[2];
    std::vector<float> scale[2];
    std::vector<int32_t> sum[2];
    run(table, q[0], scale[0], sum[0]);
    run(reference_table(), q[1], scale[1], sum[1]);
    return same(q[0], q[1]) && same(scale[0], scale[1]) && same(sum[0], sum[1]);
}

struct TernaryShape {
    int32_t m, n, k;
};

// Kernels on tiles (amx/) compute 16 or 32 rows by 16 or 32 weight rows at a time and 512 columns:
// these meet each of the four, two chunks, tails of all. Drawn shapes have few weight rows.
constexpr TernaryShape kTileShapes[] = {{50, 40, 800}, {37, 49, 300}, {9, 10, 600}};

TernaryShape ternary_shape(Random& random) {
    const int32_t m = random.one_in(4) ? random.in(5, 70) : random.in(1, 9);
    const int32_t n = random.in(1, m > 9 ? 6 : 21);
    const int32_t k = random.one_in(8) ? random.in(4000, 9000) : random.in(1, 900);
    return {m, n, k};
}

bool same_ternary(const KernelTable& table, Random& random, const TernaryShape& shape) {
    const auto [m, n, k] = shape;
    const int64_t padded = ternary_padded(k);
    const bool extreme = random.one_in(4);  // the largest sums there can be
    std::vector<int8_t> q(static_cast<size_t>(m * padded));
    std::vector<int32_t> q_sum(static_cast<size_t>(m));
    std::vector<float> scale(static_cast<size_t>(m));
    for (int32_t i = 0; i < m; ++i) {
        const int sign = random.one_in(2) ? 1 : -1;
        for (int32_t t = 0; t < k; ++t) {
            const int value = extreme ? 127 * sign : random.in(-127, 127);
            q[static_cast<size_t>(i * padded + t)] = static_cast<int8_t>(value);
            q_sum[static_cast<size_t>(i)] += value;
        }
        scale[static_cast<size_t>(i)] = std::fabs(random.real(100.0f)) + 1.0f;
    }
    std::vector<uint8_t> w(static_cast<size_t>(n * ternary_row_bytes(k)));
    std::vector<int8_t> digits(static_cast<size_t>(k));
    for (int32_t j = 0; j < n; ++j) {
        const int constant = extreme && random.one_in(2) ? random.in(-1, 1) : 2;
        for (int8_t& digit : digits) {
            digit = static_cast<int8_t>(constant == 2 ? random.in(-1, 1) : constant);
        }
        pack_ternary_row(digits.data(), k, w.data() + j * ternary_row_bytes(k));
    }
    const float w_scale = random.real(2.0f);
    const int64_t stride = n + random.in(0, 5);
    const auto result_of = [&](TernaryGemm run) {
        std::vector<float> y = output<float>(m * stride);
        run(m, n, static_cast<int32_t>(padded), q.data(), q_sum.data(), scale.data(), w.data(),
            w_scale, y.data(), stride);
        return y;
    };
    const std::vector<float> expected = result_of(reference_table().ternary_gemm);
    if (!same(result_of(table.ternary_gemm), expected)) return false;
    return std::ranges::all_of(table.ternary_ways, [&](const TernaryWay& way) {
        return way.run == nullptr || same(result_of(way.run), expected);
    });
}

bool same_rms_norm(const KernelTable& table, Random& random) {
    const int32_t m = random.in(1, 4);
    const int32_t k = random.in(1, 700);
    const int64_t stride = k + random.in(0, 9);
    const std::vector<float> x = values(random, m * stride);
    const std::vector<float> weight = values(random, k);
    std::vector<float> y[2] = {output<float>(m * stride), output<float>(m * stride)};
    table.rms_norm(m, k, x.data(), stride, weight.data(), 1e-5f, y[0].data(), stride);
    reference_table().rms_norm(m, k, x.data(), stride, weight.data(), 1e-5f, y[1].data(), stride);
    return same(y[0], y[1]);
}

// The entries that change one row of floats by another: x[t] = f(x[t], y).
template <typename Run>
bool same_in_place(Random& random, const KernelTable& table, Run run) {
    const int32_t count = random.in(1, 300);
    std::vector<float> x[2];
    x[0] = values(random, count + kGuard);
    x[1] = x[0];
    const std::vector<float> y = values(random, count);
    run(table, count, x[0].data(), y.data());
    run(reference_table(), count, x[1].data(), y.data());
    return same(x[0], x[1]);
}

template <auto kEntry>
bool same_rope(const KernelTable& table, Random& random) {
    constexpr int32_t kHeadDims[] = {64, 80, 96, 100, 128, 256};
    const int32_t head_dim = kHeadDims[random.in(0, 5)];
    const int32_t heads = random.in(1, 5);
    const int32_t n_rot = random.one_in(3) ? random.in(1, head_dim / 2) * 2 : head_dim;
    std::vector<float> cos_sin(static_cast<size_t>(n_rot));
    for (float& value : cos_sin)
        value = random.real(1.0f);
    std::vector<float> x[2];
    x[0] = values(random, heads * head_dim + kGuard);
    x[1] = x[0];
    (table.*kEntry)(heads, head_dim, n_rot, cos_sin.data(), x[0].data());
    (reference_table().*kEntry)(heads, head_dim, n_rot, cos_sin.data(), x[1].data());
    return same(x[0], x[1]);
}

// Cut off, not rounded: any bits will do.
std::vector<Bf16> to_bf16(const std::vector<float>& x) {
    std::vector<Bf16> y(x.size());
    for (size_t i = 0; i < x.size(); ++i)
        y[i].bits = static_cast<uint16_t>(std::bit_cast<uint32_t>(x[i]) >> 16);
    return y;
}

bool same_to_float(const KernelTable& table, Random& random) {
    const int32_t count = random.in(1, 300);
    std::vector<uint16_t> x(static_cast<size_t>(count));
    for (uint16_t& half : x) {
        half = static_cast<uint16_t>(random.next());
        if ((half & 0x7c00) == 0x7c00) half &= 0xfc00;  // infinities, no NaN
    }
    std::vector<float> y[2] = {output<float>(count), output<float>(count)};
    table.f16_to_f32(count, x.data(), y[0].data());
    reference_table().f16_to_f32(count, x.data(), y[1].data());
    return same(y[0], y[1]);
}

bool same_from_bf16(const KernelTable& table, Random& random) {
    const int32_t count = random.in(1, 300);
    const std::vector<Bf16> x = to_bf16(values(random, count));
    std::vector<float> y[2] = {output<float>(count), output<float>(count)};
    table.bf16_to_f32(count, x.data(), y[0].data());
    reference_table().bf16_to_f32(count, x.data(), y[1].data());
    return same(y[0], y[1]);
}

// NaN among them: it must stay one.
bool same_to_bf16(const KernelTable& table, Random& random) {
    const int32_t count = random.in(1, 300);
    std::vector<float> x(static_cast<size_t>(count));
    for (float& value : x)
        value = std::bit_cast<float>(static_cast<uint32_t>(random.next()));
    std::vector<Bf16> y[2];
    const KernelTable* tables[2] = {&table, &reference_table()};
    for (int i = 0; i < 2; ++i) {
        y[i].assign(static_cast<size_t>(count + kGuard), Bf16{77});
        tables[i]->f32_to_bf16(count, x.data(), y[i].data());
    }
    return same(y[0], y[1]);
}

bool same_to_half(const KernelTable& table, Random& random) {
    const int32_t count = random.in(1, 300);
    std::vector<float> x(static_cast<size_t>(count));
    for (float& value : x)
        value = std::ldexp(random.real(1.0f), random.in(-30, 20));
    std::vector<uint16_t> y[2] = {output<uint16_t>(count), output<uint16_t>(count)};
    table.f32_to_f16(count, x.data(), y[0].data());
    reference_table().f32_to_f16(count, x.data(), y[1].data());
    return same(y[0], y[1]);
}

std::vector<uint16_t> to_half(const std::vector<float>& x) {
    std::vector<uint16_t> y(x.size());
    reference_table().f32_to_f16(static_cast<int64_t>(x.size()), x.data(), y.data());
    return y;
}

enum class Weights { kF32, kF16, kBf16 };

template <Weights kWeights>
bool same_matmul(const KernelTable& table, Random& random) {
    const bool many = random.one_in(8);  // rows and columns enough for more than one block of them
    const int32_t m = many ? random.in(30, 70) : random.in(1, 9);
    const int32_t n = random.in(1, 21);
    const int32_t k = many ? random.in(1000, 2100) : random.in(1, 300);
    const int64_t stride = n + random.in(0, 5);
    const std::vector<float> x = values(random, m * k);
    const std::vector<float> w = values(random, n * k);
    const std::vector<uint16_t> halves = to_half(w);
    const std::vector<Bf16> upper_halves = to_bf16(w);
    std::vector<float> y[2] = {output<float>(m * stride), output<float>(m * stride)};
    const KernelTable* tables[2] = {&table, &reference_table()};
    for (int i = 0; i < 2; ++i) {
        if constexpr (kWeights == Weights::kBf16) {
            tables[i]->matmul_bf16(m, n, k, x.data(), upper_halves.data(), y[i].data(), stride);
        } else if constexpr (kWeights == Weights::kF16) {
            tables[i]->matmul_f16(m, n, k, x.data(), halves.data(), y[i].data(), stride);
        } else {
            tables[i]->matmul_f32(m, n, k, x.data(), w.data(), y[i].data(), stride);
        }
    }
    return same(y[0], y[1]);
}

// Absent from most tables. Specks, so that sums become subnormal too.
bool same_bf16_dot(const KernelTable& table, Random& random) {
    if (table.matmul_bf16_dot == nullptr) return true;
    const bool many = random.one_in(8);
    const int32_t m = many ? random.in(30, 70) : random.in(1, 9);
    const int32_t n = random.in(1, 21);
    const int32_t k = many ? random.in(1000, 2100) : random.in(1, 300);
    const int64_t stride = n + random.in(0, 5);
    const bool specks = random.one_in(4);
    std::vector<float> x = values(random, m * k);
    std::vector<float> w = values(random, n * k);
    for (std::vector<float>* one : {&x, &w}) {
        for (float& value : *one)
            value *= specks ? 0x1p-63f : 1.0f;
    }
    const std::vector<Bf16> a = to_bf16(x);
    const std::vector<Bf16> b = to_bf16(w);
    std::vector<float> y[2] = {output<float>(m * stride), output<float>(m * stride)};
    table.matmul_bf16_dot(m, n, k, a.data(), b.data(), y[0].data(), stride);
    reference_table().matmul_bf16_dot(m, n, k, a.data(), b.data(), y[1].data(), stride);
    return same(y[0], y[1]);
}

}  // namespace

const char* first_difference(const KernelTable& table, uint64_t seed) {
    Random random(seed);
    const auto add = [](const KernelTable& one, int64_t count, float* x, const float* y) {
        one.add_in_place(count, y, x);
    };
    const auto relu2 = [](const KernelTable& one, int64_t count, float* x, const float* y) {
        one.relu2_gate(count, x, y);
    };
    const auto silu = [](const KernelTable& one, int64_t count, float* x, const float* y) {
        one.silu_gate(count, x, y);
    };
    const auto gelu = [](const KernelTable& one, int64_t count, float* x, const float* y) {
        one.gelu_gate(count, x, y);
    };
    const auto scale = [](const KernelTable& one, int64_t count, float* x, const float* y) {
        one.scale_in_place(count, y[0], x);
    };
    const auto cap = [](const KernelTable& one, int64_t count, float* x, const float* y) {
        one.soft_cap(count, std::fabs(y[0]) + 0.5f, x);
    };
    if (!same_quantise(table, random)) return "quantise_rows";
    if (!same_ternary(table, random, ternary_shape(random))) return "ternary_gemm";
    if (!same_rms_norm(table, random)) return "rms_norm";
    if (!same_in_place(random, table, add)) return "add_in_place";
    if (!same_in_place(random, table, relu2)) return "relu2_gate";
    if (!same_in_place(random, table, silu)) return "silu_gate";
    if (!same_in_place(random, table, gelu)) return "gelu_gate";
    if (!same_in_place(random, table, scale)) return "scale_in_place";
    if (!same_in_place(random, table, cap)) return "soft_cap";
    if (!same_rope<&KernelTable::rope_neox>(table, random)) return "rope_neox";
    if (!same_rope<&KernelTable::rope_norm>(table, random)) return "rope_norm";
    if (!same_to_float(table, random)) return "f16_to_f32";
    if (!same_from_bf16(table, random)) return "bf16_to_f32";
    if (!same_to_half(table, random)) return "f32_to_f16";
    if (!same_to_bf16(table, random)) return "f32_to_bf16";
    if (!same_matmul<Weights::kF16>(table, random)) return "matmul_f16";
    if (!same_matmul<Weights::kBf16>(table, random)) return "matmul_bf16";
    if (!same_matmul<Weights::kF32>(table, random)) return "matmul_f32";
    if (!same_bf16_dot(table, random)) return "matmul_bf16_dot";
    if (const char* entry = first_attention_difference(table, random)) return entry;
    return first_block_difference(table, seed, random);
}

const char* self_check(const KernelTable& table) {
    for (uint64_t seed = 1; seed <= kSelfCheckSeeds; ++seed) {
        if (const char* entry = first_difference(table, seed)) return entry;
    }
    Random random(kSelfCheckSeeds + 1);
    for (const TernaryShape& shape : kTileShapes) {
        if (!same_ternary(table, random, shape)) return "ternary_gemm";
    }
    return nullptr;
}

}  // namespace bitnetd::kernels
