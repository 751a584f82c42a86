// Goal: the best table that gives the reference's bits is chosen; a wrong one never is; the
//       self-check finds an error in any single entry.
// Method: tables made wrong on purpose, one entry at a time, offered beside the reference.
#include "worker/kernels/dispatch.h"

#include <gtest/gtest.h>

#include "worker/kernels/self_check.h"
#include "worker/kernels/tables.h"

namespace bitnetd::kernels {
namespace {

const KernelTable& right() {
    return reference::kTable;
}

// Each does the reference's work and then spoils one value.
void wrong_quantise(int32_t m, int32_t k, const float* x, int64_t x_stride, int8_t* q,
                    float* x_scale, int32_t* q_sum) noexcept {
    right().quantise_rows(m, k, x, x_stride, q, x_scale, q_sum);
    q_sum[m - 1] += 1;
}
void wrong_ternary(int32_t m, int32_t n, int32_t k_padded, const int8_t* q, const int32_t* q_sum,
                   const float* x_scale, const uint8_t* w, float w_scale, float* y,
                   int64_t y_stride) noexcept {
    right().ternary_gemm(m, n, k_padded, q, q_sum, x_scale, w, w_scale, y, y_stride);
    y[(m - 1) * y_stride + n - 1] += 1.0f;
}
void wrong_quantise_blocks(int32_t m, int32_t k, const float* x, int64_t x_stride, int8_t* q,
                           float* d, int32_t* q_sum) noexcept {
    right().quantise_blocks(m, k, x, x_stride, q, d, q_sum);
    q_sum[m * k / 16] = 0;  // one beyond the end
}
// Wrong in one format only.
void wrong_gemm(BlockFormat format, int32_t m, int32_t n, int32_t k, const int8_t* q,
                const float* d, const int32_t* q_sum, const uint8_t* w, float* y,
                int64_t y_stride) noexcept {
    right().block_gemm(format, m, n, k, q, d, q_sum, w, y, y_stride);
    if (format == BlockFormat::kQ6_K) y[(m - 1) * y_stride + n - 1] += 1.0f;
}
void wrong_block_matmul(BlockFormat format, int32_t m, int32_t n, int32_t k, const float* x,
                        const uint8_t* w, float* y, int64_t y_stride) noexcept {
    right().block_matmul(format, m, n, k, x, w, y, y_stride);
    if (format == BlockFormat::kQ2_0) y[0] += 1.0f;
}
void wrong_row(BlockFormat format, int32_t k, const uint8_t* w, int64_t j, float* y) noexcept {
    right().block_row(format, k, w, j, y);
    if (format == BlockFormat::kQ4_0) y[k - 1] += 1.0f;
}
void wrong_norm(int32_t m, int32_t k, const float* x, int64_t x_stride, const float* weight,
                float eps, float* y, int64_t y_stride) noexcept {
    right().rms_norm(m, k, x, x_stride, weight, eps, y, y_stride);
    y[k - 1] = -y[k - 1] - 1.0f;
}
void wrong_add(int64_t count, const float* y, float* x) noexcept {
    right().add_in_place(count, y, x);
    x[count] = 0.0f;  // one beyond the end
}
void wrong_relu2(int64_t count, float* gate, const float* up) noexcept {
    right().relu2_gate(count, gate, up);
    gate[0] += 1.0f;
}
void wrong_silu(int64_t count, float* gate, const float* up) noexcept {
    right().silu_gate(count, gate, up);
    gate[count - 1] += 1.0f;
}
void wrong_gelu(int64_t count, float* gate, const float* up) noexcept {
    right().gelu_gate(count, gate, up);
    gate[count / 2] += 1.0f;
}
void wrong_scale(int64_t count, float factor, float* x) noexcept {
    right().scale_in_place(count, factor, x);
    x[count] = 0.0f;  // one beyond the end
}
void wrong_cap(int64_t count, float cap, float* x) noexcept {
    right().soft_cap(count, cap, x);
    x[0] += cap;
}
template <auto kEntry>
void wrong_rope(int32_t heads, int32_t head_dim, int32_t n_rot, const float* cos_sin,
                float* x) noexcept {
    (right().*kEntry)(heads, head_dim, n_rot, cos_sin, x);
    x[0] += 1.0f;
}
void wrong_to_float(int64_t count, const uint16_t* x, float* y) noexcept {
    right().f16_to_f32(count, x, y);
    y[0] = -1.0f - y[0];
}
void wrong_from_bf16(int64_t count, const Bf16* x, float* y) noexcept {
    right().bf16_to_f32(count, x, y);
    y[count - 1] = -1.0f - y[count - 1];
}
void wrong_to_half(int64_t count, const float* x, uint16_t* y) noexcept {
    right().f32_to_f16(count, x, y);
    y[count - 1] ^= 1;
}
void wrong_matmul_f16(int32_t m, int32_t n, int32_t k, const float* x, const uint16_t* w, float* y,
                      int64_t y_stride) noexcept {
    right().matmul_f16(m, n, k, x, w, y, y_stride);
    y[0] += 1.0f;
}
void wrong_matmul_bf16(int32_t m, int32_t n, int32_t k, const float* x, const Bf16* w, float* y,
                       int64_t y_stride) noexcept {
    right().matmul_bf16(m, n, k, x, w, y, y_stride);
    y[n - 1] -= 1.0f;
}
void wrong_to_bf16(int64_t count, const float* x, Bf16* y) noexcept {
    right().f32_to_bf16(count, x, y);
    y[count - 1].bits ^= 1;
}
void wrong_bf16_dot(int32_t m, int32_t n, int32_t k, const Bf16* x, const Bf16* w, float* y,
                    int64_t y_stride) noexcept {
    right().matmul_bf16_dot(m, n, k, x, w, y, y_stride);
    y[0] += 1.0f;
}
void wrong_matmul_f32(int32_t m, int32_t n, int32_t k, const float* x, const float* w, float* y,
                      int64_t y_stride) noexcept {
    right().matmul_f32(m, n, k, x, w, y, y_stride);
    y[0] += 1.0f;
}
template <auto kEntry>
void wrong_attention(const KvView& kv, int32_t heads, int32_t begin, int32_t end, int32_t first,
                     int32_t count, float scale, const float* q, float* out) noexcept {
    (right().*kEntry)(kv, heads, begin, end, first, count, scale, q, out);
    if (begin < end) out[begin * kv.head_dim] += 1.0f;
}
void wrong_quantise_head(int32_t head_dim, const float* x, int8_t* q, float* scale) noexcept {
    right().quantise_head(head_dim, x, q, scale);
    q[(head_dim + 15) / 16 * 16] = 0;  // one beyond the end
}

struct Spoiled {
    const char* entry;
    void (*spoil)(KernelTable& table);
};

const Spoiled kSpoiled[] = {
    {"quantise_rows", [](KernelTable& t) { t.quantise_rows = wrong_quantise; }},
    {"ternary_gemm", [](KernelTable& t) { t.ternary_gemm = wrong_ternary; }},
    {"quantise_blocks", [](KernelTable& t) { t.quantise_blocks = wrong_quantise_blocks; }},
    {"block_gemm", [](KernelTable& t) { t.block_gemm = wrong_gemm; }},
    {"block_matmul", [](KernelTable& t) { t.block_matmul = wrong_block_matmul; }},
    {"block_row", [](KernelTable& t) { t.block_row = wrong_row; }},
    {"rms_norm", [](KernelTable& t) { t.rms_norm = wrong_norm; }},
    {"add_in_place", [](KernelTable& t) { t.add_in_place = wrong_add; }},
    {"relu2_gate", [](KernelTable& t) { t.relu2_gate = wrong_relu2; }},
    {"silu_gate", [](KernelTable& t) { t.silu_gate = wrong_silu; }},
    {"gelu_gate", [](KernelTable& t) { t.gelu_gate = wrong_gelu; }},
    {"scale_in_place", [](KernelTable& t) { t.scale_in_place = wrong_scale; }},
    {"soft_cap", [](KernelTable& t) { t.soft_cap = wrong_cap; }},
    {"rope_neox", [](KernelTable& t) { t.rope_neox = wrong_rope<&KernelTable::rope_neox>; }},
    {"rope_norm", [](KernelTable& t) { t.rope_norm = wrong_rope<&KernelTable::rope_norm>; }},
    {"f16_to_f32", [](KernelTable& t) { t.f16_to_f32 = wrong_to_float; }},
    {"bf16_to_f32", [](KernelTable& t) { t.bf16_to_f32 = wrong_from_bf16; }},
    {"f32_to_f16", [](KernelTable& t) { t.f32_to_f16 = wrong_to_half; }},
    {"f32_to_bf16", [](KernelTable& t) { t.f32_to_bf16 = wrong_to_bf16; }},
    {"matmul_f16", [](KernelTable& t) { t.matmul_f16 = wrong_matmul_f16; }},
    {"matmul_bf16", [](KernelTable& t) { t.matmul_bf16 = wrong_matmul_bf16; }},
    {"matmul_f32", [](KernelTable& t) { t.matmul_f32 = wrong_matmul_f32; }},
    {"matmul_bf16_dot", [](KernelTable& t) { t.matmul_bf16_dot = wrong_bf16_dot; }},
    {"quantise_head", [](KernelTable& t) { t.quantise_head = wrong_quantise_head; }},
    {"attention_f32",
     [](KernelTable& t) { t.attention_f32 = wrong_attention<&KernelTable::attention_f32>; }},
    {"attention_f16",
     [](KernelTable& t) { t.attention_f16 = wrong_attention<&KernelTable::attention_f16>; }},
    {"attention_int8",
     [](KernelTable& t) { t.attention_int8 = wrong_attention<&KernelTable::attention_int8>; }},
};

KernelTable named(const char* name) {
    KernelTable table = right();
    table.name = name;
    return table;
}

TEST(SelfCheck, FindsAnErrorInEveryEntry) {
    for (const Spoiled& spoiled : kSpoiled) {
        KernelTable table = named("spoiled");
        spoiled.spoil(table);
        const char* found = self_check(table);
        ASSERT_NE(found, nullptr) << spoiled.entry;
        EXPECT_STREQ(found, spoiled.entry);
    }
}

TEST(SelfCheck, PassesTheReference) {
    EXPECT_EQ(self_check(right()), nullptr);
}

TEST(Select, TakesTheBestThatIsRight) {
    KernelTable best = named("best");
    best.silu_gate = wrong_silu;
    const KernelTable second = named("second");
    const KernelTable* candidates[] = {&best, &second, &right()};
    EXPECT_STREQ(select_from(candidates, "auto").name, "second");
    EXPECT_STREQ(select_from(candidates, "best").name, "second") << "asked for, but wrong";
    EXPECT_STREQ(select_from(candidates, "second").name, "second");
    EXPECT_STREQ(select_from(candidates, "scalar").name, "scalar");
}

TEST(Select, AnUnknownNameGetsTheBest) {
    const KernelTable best = named("best");
    const KernelTable* candidates[] = {&best, &right()};
    EXPECT_STREQ(select_from(candidates, "no-such-isa").name, "best");
    EXPECT_STREQ(select_from(candidates, "").name, "best");
}

TEST(Select, TheReferenceIsLeftWhenAllOthersAreWrong) {
    KernelTable first = named("first");
    first.ternary_gemm = wrong_ternary;
    KernelTable second = named("second");
    second.rms_norm = wrong_norm;
    const KernelTable* candidates[] = {&first, &second, &right()};
    EXPECT_STREQ(select_from(candidates, "auto").name, "scalar");
}

TEST(Tables, AreFoundByName) {
    ASSERT_FALSE(usable_tables().empty());
    EXPECT_EQ(usable_tables().back(), &right());
    for (const KernelTable* table : usable_tables())
        EXPECT_EQ(find(table->name), table);
    EXPECT_EQ(find("scalar"), &right());
    EXPECT_EQ(find("auto"), nullptr);
    EXPECT_EQ(find(""), nullptr);
}

TEST(Tables, ThisCpusBestIsSelected) {
    EXPECT_EQ(&select("auto"), usable_tables().front());
    EXPECT_EQ(&select("scalar"), &right());
}

#if defined(__aarch64__)
TEST(Tables, NeonIsTheLeastThatAarch64Has) {
    ASSERT_EQ(find("neon"), &neon::kTable);
    const bool has_dot_products = find("neondotprod") != nullptr;
    EXPECT_STREQ(select("auto").name, has_dot_products ? "neondotprod" : "neon");
    EXPECT_EQ(usable_tables().size(), has_dot_products ? 3u : 2u);
}
#endif

}  // namespace
}  // namespace bitnetd::kernels
