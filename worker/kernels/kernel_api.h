// The contract between the model and its kernels: raw pointers in, raw pointers out.
//
// Every instruction set fills one KernelTable. Rules that hold for every entry:
//   - It never allocates, locks, throws, logs or fails. The caller checked every shape.
//   - Integer results are the same on every instruction set, bit for bit.
//   - Float results are the same too (float class "f32x16"): sums run over 16 virtual lanes, lane l
//     taking elements l, l+16, l+32, ... with fma(), and are reduced by one tree:
//     r[i] = v[i] + v[i+8] (i < 8), then +4, +2, +1. A tail shorter than 16 adds to its lanes only;
//     the other lanes keep their value. exp is the polynomial of exp_poly.h, never libm's.
//   - A row's result depends on that row alone, never on m or on the rows beside it.
//   - Any thread may call; two threads must not write the same outputs.
//   - Inputs hold no NaN. With one the results are unspecified, but nothing is read or written out
//   of
//     bounds and NaN logits stay NaN, so that the caller sees them.
// reference/ is the definition: plain loops, tested against arithmetic only. The others are
// compared with it on odd shapes, in tests/property and by the self-check at start (dispatch.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "worker/kernels/block_format.h"

namespace bitnetd::kernels {

// Attention keeps one page of scores and one head of sums on its stack: the bounds of page_tokens
// and head_dim.
inline constexpr int32_t kPageTokensMax = 256;
inline constexpr int32_t kHeadDimMax = 512;

// Elements of one packed ternary block, and its bytes (ternary_pack.h packs rows).
inline constexpr int32_t kTernaryBlock = 256;
inline constexpr int32_t kTernaryBlockBytes = kTernaryBlock / 4;

// Bytes of one packed ternary row of k weights; k counts as rounded up to a whole block.
constexpr int64_t ternary_row_bytes(int64_t k) {
    return (k + kTernaryBlock - 1) / kTernaryBlock * kTernaryBlockBytes;
}
// Length of an int8 activation row for k inputs: whole blocks, the tail zero.
constexpr int64_t ternary_padded(int64_t k) {
    return (k + kTernaryBlock - 1) / kTernaryBlock * kTernaryBlock;
}

// Per-token int8 quantisation (quant-types section 9, the 2024-25 rule):
//   x_scale[i] = (float)(127.0 / max(1e-5, max |x[i][t]|)), maximum and quotient in double
//   q[i][t]    = x[i][t] * x_scale[i] rounded to nearest, ties to even, clamped to [-127, 127]
//   q_sum[i]   = sum of q[i][t]
//   x  float [m][k], row stride x_stride elements      q  int8 [m][ternary_padded(k)], tail zero,
//   rows 64-byte aligned
using QuantiseRows = void (*)(int32_t m, int32_t k, const float* x, int64_t x_stride, int8_t* q,
                              float* x_scale, int32_t* q_sum) noexcept;

// y[i][j] = (float)(sum over t of q[i][t] * w[j][t]) / x_scale[i] * w_scale    (in this order)
//   q        int8    [m][k_padded], values -127..127, rows 64-byte aligned, tail zero
//   q_sum    int32   [m]            sum of row i of q (kernels on unsigned codes need it)
//   w        ternary [n] rows of k_padded/4 bytes, 64-byte aligned; blocks of 256 weights in 64
//            bytes: byte p holds weights p, p+64, p+128, p+192, the first in the low two bits,
//            each stored as w + 1; padding is w = 0 (code 1)
//   y        float   [m] rows of n values, row stride y_stride elements
// Needs m >= 1, n >= 1, k_padded % 256 == 0, k_padded <= 2^17: the sum is at most 127 * 2^17 <
// 2^24, so it is exact as a float. The caller splits n across threads (offsetting w and y). Cost:
// reads n * k_padded / 4 bytes of w once per call for small m.
using TernaryGemm = void (*)(int32_t m, int32_t n, int32_t k_padded, const int8_t* q,
                             const int32_t* q_sum, const float* x_scale, const uint8_t* w,
                             float w_scale, float* y, int64_t y_stride) noexcept;

// One way to compute ternary_gemm. All of a table take every m and give the same bits; which is the
// fastest depends on m, on the matrix and on the machine, so that is measured for each model
// (worker/model/ternary_choice.h).
struct TernaryWay {
    const char* name;   // what it does with the weights: "packed", "tiles"
    TernaryGemm run;    // null: the table has no such way
    int32_t rows_from;  // fastest from so many rows on, where nothing was measured; 1 for the first
};
inline constexpr int kTernaryWaysMax = 2;

// int8 quantisation in blocks of 32 columns, for block_gemm. With largest = max |x| of a block:
//   largest < kBlockFloor: d = 0 and q = 0
//   else d = largest / 127 and q = x * (127 / largest) rounded to nearest, ties to even
//   a block with an infinity or NaN gets d = NaN, so that its products show it
//   x      float [m][k], row stride x_stride elements, k a multiple of 32
//   q      int8  [m][k]
//   d      float [m][k / 32]
//   q_sum  int32 [m][k / 16]     sum of q over 16 columns
inline constexpr float kBlockFloor = 0x1p-100f;  // its 127 / largest is finite
using QuantiseBlocks = void (*)(int32_t m, int32_t k, const float* x, int64_t x_stride, int8_t* q,
                                float* d, int32_t* q_sum) noexcept;

// y[i][j] = sum over t of dequantised x[i][t] * w[j][t], in order of t, one group of columns with
// the same factor after the other; sums of a group are exact integers:
//   acc = fma((float)sum of q * (code - bias), factor * d, acc)
//   acc = fma((float)sum of q,                 offset * d, acc)      where there are offsets
//   q, d, q_sum  as quantise_blocks gives them
//   w            packed matrix of `format`, n rows (block_format.h)
//   y            float [m] rows of n values, row stride y_stride elements
// Needs m >= 1, n >= 1, k % unit == 0. The caller splits n across threads at multiples of
// kStripeRows (offsetting w and y). Cost: reads w once per call from memory, however large m is.
using BlockGemm = void (*)(BlockFormat format, int32_t m, int32_t n, int32_t k, const int8_t* q,
                           const float* d, const int32_t* q_sum, const uint8_t* w, float* y,
                           int64_t y_stride) noexcept;

// The product with the decoded floats themselves, for matrices whose results must not see the
// activations quantised (the output matrix): y[i][j] = sum over t of x[i][t] * value[j][t], in four
// sums s[t % 4] with fma, each in order of t; y = (s[0] + s[1]) + (s[2] + s[3]).
//   x  float [m][k], row stride k; the rest as for block_gemm
using BlockMatmul = void (*)(BlockFormat format, int32_t m, int32_t n, int32_t k, const float* x,
                             const uint8_t* w, float* y, int64_t y_stride) noexcept;

// y[t] = value[j][t]: one row of a packed matrix as floats. y float [k].
using BlockRow = void (*)(BlockFormat format, int32_t k, const uint8_t* w, int64_t j,
                          float* y) noexcept;

// y[i][t] = x[i][t] * (1 / sqrt(mean(x[i]^2) + eps)) * weight[t]
//   sum of squares in double, over 16 lanes in the order above; mean = (float)(sum / k);
//   factor = 1.0f / sqrtf(mean + eps); y = (x * factor) * weight.
//   x, y float [m][k], strides in elements; y may be x.
using RmsNorm = void (*)(int32_t m, int32_t k, const float* x, int64_t x_stride,
                         const float* weight, float eps, float* y, int64_t y_stride) noexcept;

// x[i][t] += y[i][t] over count contiguous values.
using AddInPlace = void (*)(int64_t count, const float* y, float* x) noexcept;

// x[t] *= factor over count contiguous values.
using ScaleInPlace = void (*)(int64_t count, float factor, float* x) noexcept;

// x[t] = cap * tanh(x[t] / cap) over count contiguous logits, cap > 0, computed as
//   cap * (1 - 2 / (exp(2 * (x / cap)) + 1)): absolute error below cap * 2^-21, saturates at +-cap.
using SoftCap = void (*)(int64_t count, float cap, float* x) noexcept;

// gate[t] = activation(gate[t]) * up[t] over count contiguous values.
//   relu2: r = max(gate, 0); (r * r) * up        silu: (gate / (1 + exp(-gate))) * up
//   gelu (tanh form, 0.5 x (1 + tanh(u)) = x / (1 + exp(-2u)), x = gate):
//     -2u = (kGeluTwice * x) * fma(kGeluCube, x * x, 1);  (x / (1 + exp(-2u))) * up
inline constexpr float kGeluTwice = -0x1.988454p+0f;  // -2 sqrt(2 / pi)
inline constexpr float kGeluCube = 0.044715f;
using GatedActivation = void (*)(int64_t count, float* gate, const float* up) noexcept;

// Rotates one row of `heads` heads in place, NEOX style: pair p is (x[p], x[p + n_rot/2]),
//   a' = a * cos - b * sin;  b' = a * sin + b * cos, each product rounded before the sum.
//   x float [heads][head_dim]; cos_sin float [n_rot], cosines of the row's position first, then
//   sines.
using RopeNeox = void (*)(int32_t heads, int32_t head_dim, int32_t n_rot, const float* cos_sin,
                          float* x) noexcept;
// The same for NORM style: pair p is the neighbours (x[2p], x[2p + 1]).
using RopeNorm = RopeNeox;

// A bfloat16: the upper half of a float's bits. A type of its own, since uint16_t means IEEE half.
struct Bf16 {
    uint16_t bits;
};

// Converts count values: from either 16-bit type exactly, to it rounded to nearest, ties to even.
using F16ToF32 = void (*)(int64_t count, const uint16_t* x, float* y) noexcept;
using Bf16ToF32 = void (*)(int64_t count, const Bf16* x, float* y) noexcept;
using F32ToBf16 = void (*)(int64_t count, const float* x, Bf16* y) noexcept;
using F32ToF16 = void (*)(int64_t count, const float* x, uint16_t* y) noexcept;

// y[i][j] = sum over t of x[i][t] * (float)w[j][t]; the lane order above.
//   x float [m][k] row stride k;  w f16, bf16 or f32 [n][k];  y row stride y_stride.
//   The caller splits n across threads.
using MatmulF16 = void (*)(int32_t m, int32_t n, int32_t k, const float* x, const uint16_t* w,
                           float* y, int64_t y_stride) noexcept;
using MatmulBf16 = void (*)(int32_t m, int32_t n, int32_t k, const float* x, const Bf16* w,
                            float* y, int64_t y_stride) noexcept;
// The same with both in bfloat16, as the instruction VDPBF16PS computes it: a float class of its
// own ("bf16dot"), so a layer must use it for all its rows or for none. k counts as rounded up to
// 32 with zeros; lane l (0..15) takes the pairs (2l, 2l + 1), (2l + 32, 2l + 33), ...; of a pair
// first acc = fma(x[odd], w[odd], acc), then the even ones; every operand and result that is
// subnormal is zero of its sign. The lanes are reduced by the tree above.
//   x bf16 [m][k];  the rest as above
using MatmulBf16Dot = void (*)(int32_t m, int32_t n, int32_t k, const Bf16* x, const Bf16* w,
                               float* y, int64_t y_stride) noexcept;
using MatmulF32 = void (*)(int32_t m, int32_t n, int32_t k, const float* x, const float* w,
                           float* y, int64_t y_stride) noexcept;

// One head's key or value of one position in eight bits: code * scale is the number it stands for.
// With largest = max |x[t]|:
//   largest < kBlockFloor: scale = 0 and q = 0
//   else scale = largest / 127 and q = x * (127 / largest) rounded to nearest, ties to even
//   a row with an infinity or NaN gets scale = NaN, so that what attends to it shows it
//   x      float [head_dim]
//   q      int8  [head_dim rounded up to 16], zero behind head_dim
//   scale  float [1]
using QuantiseHead = void (*)(int32_t head_dim, const float* x, int8_t* q, float* scale) noexcept;

// Where the keys and values of one sequence lie: pages of page_tokens positions each.
//   pages[i] + k_offset: keys of one layer, for each kv head [page_tokens][head_dim_padded] values,
//                        and, where they are int8, behind them float [page_tokens] scales
//   pages[i] + v_offset: values, same shape.   head_dim_padded = head_dim rounded up to 16, pad
//   zero.
struct KvView {
    const std::byte* const* pages;
    int64_t k_offset;  // bytes
    int64_t v_offset;  // bytes
    int32_t page_tokens;
    int32_t kv_heads;
    int32_t head_dim;
};

// One query row attends to positions first .. count-1 of its sequence, for heads
// head_begin..head_end-1. first is 0, or count - window with a sliding window: pages that hold only
// positions before it are not read, and their pointers may be anything. Needs 0 <= first < count,
// 1 <= page_tokens <= kPageTokensMax, 1 <= head_dim <= kHeadDimMax.
//   score_p = (q . k_p) * scale;  out = sum_p softmax(score)_p * v_p
// Of int8 rows, k_p and v_p are the codes as floats, and their scales are applied once per
// position:
//   score_p = ((q . k_p) * k_scale_p) * scale, and w * v_scale_p instead of w below, but in the
//   sum.
// Online softmax in blocks of page_tokens positions by absolute position: block b is positions
// max(first, b * page_tokens) .. min(count, (b + 1) * page_tokens) - 1, from the block that holds
// first on; so the first and the last block may be partial. For each block, scores, block maximum
// M' = max(M, scores); if M' > M: sum and accumulator *= exp(M - M'); then in order of position sum
// += w, acc = fma(w, v, acc) with w = exp(score - M'). Finally out = acc * (1 / sum). Head h reads
// kv head h / (heads / kv_heads).
//   q, out float [heads][head_dim]
using Attention = void (*)(const KvView& kv, int32_t heads, int32_t head_begin, int32_t head_end,
                           int32_t first, int32_t count, float scale, const float* q,
                           float* out) noexcept;

struct KernelTable {
    const char* name;  // as the kernel_isa setting names it: "scalar", "avx2", "avx512", ...
    QuantiseRows quantise_rows;
    TernaryGemm ternary_gemm;                  // by the ways' own rows_from
    TernaryWay ternary_ways[kTernaryWaysMax];  // by rising rows_from; the first is always there
    QuantiseBlocks quantise_blocks;
    BlockGemm block_gemm;
    BlockMatmul block_matmul;
    BlockRow block_row;
    RmsNorm rms_norm;
    AddInPlace add_in_place;
    GatedActivation relu2_gate;
    GatedActivation silu_gate;
    GatedActivation gelu_gate;
    ScaleInPlace scale_in_place;
    SoftCap soft_cap;
    RopeNeox rope_neox;
    RopeNorm rope_norm;
    F16ToF32 f16_to_f32;
    Bf16ToF32 bf16_to_f32;
    F32ToF16 f32_to_f16;
    F32ToBf16 f32_to_bf16;
    MatmulF16 matmul_f16;
    MatmulBf16 matmul_bf16;
    MatmulF32 matmul_f32;
    MatmulBf16Dot matmul_bf16_dot;  // null in a table without the instruction; "scalar" has it
    Attention attention_f32;        // keys and values stored as float
    Attention attention_f16;        // stored as IEEE half, converted exactly
    Attention attention_int8;       // stored as quantise_head does
    QuantiseHead quantise_head;
};

}  // namespace bitnetd::kernels
