// The contract between the GPU engine and its kernels: what kernel_api.h is for the CPU, with
// device pointers, and every entry a launch. Rules that hold for all of them:
//   - The same numbers as the entry of kernels::KernelTable that it is named after, bit for bit:
//   the
//     float class is "f32x16" here too (16 virtual lanes, explicit fma, one tree, exp_poly.h), so a
//     generation may move between a CPU and a GPU and nobody can tell. No atomics on floats, no
//     split that depends on what stands beside a row.
//   - It puts work on `stream` and returns; it never waits, allocates or fails by itself. Errors of
//   a
//     launch are the device's to find (worker/gpu/device.h). It may be called while the stream is
//     captured into a graph: shapes are fixed then, contents are not.
//   - All pointers are device memory unless said otherwise. Matrices were laid out by layout.h.
//     Rows of floats are without gaps; x of every linear layer is 16-byte aligned.
//   - Loop thread of bitnetd-worker-cuda only.
// There are two tables: cuda_table() (nvcc, cuda_table.cu), and the one of tests/support/cuda, the
// same sources run by an emulation of blocks, warps and barriers on the CPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "worker/kernels/block_format.h"

struct CUstream_st;  // what a cudaStream_t points to

namespace bitnetd::kernels::cuda {

using Stream = CUstream_st*;

// One row of a step. Rows that only fill a bucket up have the table of a page nobody else uses.
struct StepRow {
    uint32_t token;
    uint32_t position;
    uint32_t table;  // index of its sequence's page table
    uint32_t reserved;
};

// What a matrix is made of (shm/abi/weights_abi.h Packing).
enum class MatrixKind : uint8_t { kF32, kF16, kBf16, kTernary, kBlocks };

// What a gate is put through (kernel_api.h GatedActivation).
enum class Gate : uint8_t { kRelu2, kSilu, kGelu };

// A matrix as layout.h put it on the device.
struct Matrix {
    const std::byte* data = nullptr;
    MatrixKind kind = MatrixKind::kF32;
    BlockFormat block_format{};   // of kBlocks
    int32_t rows = 0;             // outputs
    int32_t columns = 0;          // inputs
    float scale = 1;              // of ternary weights
    const float* bias = nullptr;  // [rows], or null
};

// The rows of a step as one kind of matrix wants them (kernel_api.h QuantiseRows, QuantiseBlocks,
// F32ToBf16). Buffers of the engine, for its longest rows; a Rounding says which are filled.
enum class Rounding : uint8_t { kNone, kRows, kBlocks };
struct Rounded {
    int8_t* values;  // kRows: [m][ternary_padded(k)], tail zero; kBlocks: [m][k]
    float* scales;   // kRows: x_scale [m]; kBlocks: d [m][k / 32]
    int32_t* sums;   // kRows: q_sum [m]; kBlocks: q_sum [m][k / 16]
};

struct Product {
    Matrix w;
    float* y;  // [m][w.rows]
};
inline constexpr size_t kProductsMax = 3;

// What becomes of a product: stored; or y += it, product (with its bias) rounded first.
enum class Store : uint8_t { kSet, kAdd };

// The KV cache as kernels see it. A page is that of worker/kv/kv_layout.h.
struct Pages {
    std::byte* const* tables;  // [..][table_pages] addresses of pages
    int32_t table_pages;
    int32_t page_tokens;
    int32_t kv_heads;
    int32_t head_dim;
    int32_t value_bytes;  // 4: float, 2: IEEE half, 1: int8 with scales
    int64_t k_offset;     // of one layer, in bytes
    int64_t v_offset;
};

// The `count` largest logits of a row by value, then lower id; none, and count 0, where any logit
// of the row is not finite.
inline constexpr uint32_t kLargestMax = 128;
struct Largest {
    uint32_t wanted;  // in: 1 .. kLargestMax
    uint32_t count;   // out: wanted, or fewer in a smaller vocabulary
    uint32_t ids[kLargestMax];
    float logits[kLargestMax];
};

inline constexpr uint32_t kMaskedMax = 32;

// A plain Gumbel-max draw over all tokens (worker/sampler/gumbel.h), no filter, bias or penalty.
struct PlainDraw {
    float temperature;
    uint32_t position;  // tokens before it
    uint64_t seed;
    uint32_t masked_count;  // ids that may not be drawn
    uint32_t masked[kMaskedMax];
    uint32_t token;  // out
    uint32_t valid;  // out: 0 where a logit is not finite
};

struct CudaKernels {
    const char* name;  // "cuda", or "cuda-emulated"

    // x[i] = row `token` of the table as floats, times `scale`.
    void (*embed)(Stream, int32_t m, const StepRow* rows, const Matrix& table, float scale,
                  float* x) noexcept;
    // y = rms_norm(x) row by row; y may be x. `from`: null, or [m] indices of the rows of x to
    // take. With a rounding, also that of y, in the same launch.
    void (*rms_norm)(Stream, int32_t m, int32_t k, const float* x, const uint32_t* from,
                     const float* weight, float eps, float* y, Rounding, const Rounded&) noexcept;
    void (*round)(Stream, int32_t m, int32_t k, const float* x, Rounding, const Rounded&) noexcept;
    // y = x . w + bias (then Store) for up to kProductsMax matrices of the same packing and
    // columns, in one launch. Ternary matrices read a kRows rounding, kBlocks ones a kBlocks
    // rounding or, with kNone, floats (BlockMatmul); float matrices read floats.
    void (*multiply)(Stream, int32_t m, std::span<const Product> products, Rounding,
                     const Rounded& rounded, const float* x, Store) noexcept;
    // The product with the floats x whatever the packing (multiply_floats of
    // worker/model/linear.h): for the output matrix. y [m][w.rows]; a cap other than 0: SoftCap
    // follows.
    void (*logits)(Stream, int32_t m, const Matrix& w, const float* x, float cap,
                   float* y) noexcept;
    // gate = activation(gate) * up over count values.
    void (*gate)(Stream, int64_t count, Gate, float* gate, const float* up) noexcept;
    void (*add)(Stream, int64_t count, const float* y, float* x) noexcept;
    // Turns q and k by cos_sin + position * n_rot (NORM or NEOX pairs) and stores k and v in the
    // rows' pages, zeros behind head_dim. q [m][heads][head_dim], k and v [m][kv_heads][head_dim].
    void (*rotate_and_store)(Stream, int32_t m, const StepRow* rows, const Pages&, int32_t heads,
                             int32_t n_rot, bool is_neox, const float* cos_sin, float* q, float* k,
                             const float* v) noexcept;
    // out = attention of q over positions max(0, position + 1 - window) .. position (window 0:
    // all).
    void (*attend)(Stream, int32_t m, const StepRow* rows, const Pages&, int32_t heads,
                   uint32_t window, float scale, const float* q, float* out) noexcept;
    // Of m rows of logits [m][vocab], each with its own wish (wanted 0: skipped).
    void (*largest)(Stream, int32_t m, int32_t vocab, const float* logits, Largest* out) noexcept;
    // Each of m rows its own draw (temperature 0: skipped).
    void (*draw)(Stream, int32_t m, int32_t vocab, const float* logits, PlainDraw* draws) noexcept;
    void (*copy_page)(Stream, const std::byte* from, std::byte* to, int64_t bytes) noexcept;
};

}  // namespace bitnetd::kernels::cuda
