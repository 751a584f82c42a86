// All that the kernels of this folder ask of the device, beyond plain C++. Under nvcc nvcc_ops.cuh
// defines it; for g++ tests/support/cuda does, which runs the same kernel sources on the CPU.
//
// A kernel is a function
//   BITNETD_KERNEL(256) void add_kernel(int64_t count, const float* y, float* x) { ... }
// in an anonymous namespace, put on a stream by launch(). Blocks have one dimension, a multiple of
// 32 threads. What threads do together needs all of them: block_barrier() all threads of the block,
// the operations of a warp its 32 lanes, in the same order, none returned before. The emulation
// ends the process where that does not hold, so a kernel that passes its tests does so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "worker/kernels/cuda/cuda_kernels.h"

#ifdef __CUDACC__
// Threads of a block, and where it matters how many blocks a multiprocessor shall hold.
#define BITNETD_KERNEL(...) __global__ __launch_bounds__(__VA_ARGS__)
#define BITNETD_DEVICE __device__ __forceinline__
// A variable of the block inside a kernel, uninitialised; dynamic_shared() is for what grows with
// the shape.
#define BITNETD_SHARED __shared__
// A parameter of a kernel that is indexed: it is read where it lies, instead of being copied by
// every thread.
#define BITNETD_IN_PLACE const __grid_constant__
#define BITNETD_UNROLL _Pragma("unroll")
#else
#define BITNETD_KERNEL(...)
#define BITNETD_DEVICE inline
#define BITNETD_SHARED static thread_local
#define BITNETD_IN_PLACE const
#define BITNETD_UNROLL
#endif

namespace bitnetd::kernels::cuda {

inline constexpr int32_t kWarp = 32;

// --- host ---------------------------------------------------------------------------------------

struct Grid {
    uint32_t x = 1;
    uint32_t y = 1;
    uint32_t z = 1;
};

// Puts kernel(arguments...) on the stream, with `shared_bytes` of dynamic shared memory a block.
// An empty grid is no launch.
template <typename... Parameters>
void launch(Stream stream, Grid grid, int32_t threads, size_t shared_bytes,
            void (*kernel)(Parameters...), std::type_identity_t<Parameters>... arguments);

template <typename T>
constexpr T divided_up(T value, T by) {
    return (value + by - 1) / by;
}

// --- who am I -----------------------------------------------------------------------------------

BITNETD_DEVICE int32_t thread_index();  // in the block
BITNETD_DEVICE int32_t thread_count();  // of the block
BITNETD_DEVICE int32_t block_x();
BITNETD_DEVICE int32_t block_y();
BITNETD_DEVICE int32_t block_z();
BITNETD_DEVICE int32_t grid_x();  // blocks along x
BITNETD_DEVICE int32_t lane_index();
BITNETD_DEVICE int32_t warp_index();

// --- together -----------------------------------------------------------------------------------

// Before the first access to memory that an earlier launch wrote, or that it may still read. With
// it a launch may begin while the one before it ends. What was written when the graph began
// (weights) may be read earlier.
BITNETD_DEVICE void wait_for_earlier_launches();

// Of the block: what any thread wrote before it, all read after it.
BITNETD_DEVICE void block_barrier();
BITNETD_DEVICE void warp_barrier();

// Of a warp, T of 4 or 8 bytes: the value of the lane `lane ^ bits`; of lane `from`.
template <typename T>
BITNETD_DEVICE T shuffle_xor(T value, int32_t bits);
template <typename T>
BITNETD_DEVICE T shuffle(T value, int32_t from);
// Bit l is lane l's condition.
BITNETD_DEVICE uint32_t ballot(bool condition);

// --- memory -------------------------------------------------------------------------------------

// 16-byte aligned, at least as large as launch() was told.
BITNETD_DEVICE std::byte* dynamic_shared();

struct alignas(16) Words {
    uint32_t word[4];
};
// 16 bytes at a 16-byte aligned address of global memory that no launch of this graph writes:
// read once, so that they need not stay in the first cache (weights); or to be used again.
BITNETD_DEVICE Words load_once(const void* from);
BITNETD_DEVICE Words load_constant(const void* from);

// 16 bytes from global to shared memory, both aligned; zeros where not `valid`, then `from` is not
// read. They arrive later: copies since the last commit are a group, copy_wait<N> waits for this
// thread's groups but the N newest ones. Other threads see them behind a barrier after that.
BITNETD_DEVICE void copy_async(void* shared, const void* from, bool valid);
BITNETD_DEVICE void copy_commit();
template <int kNewest>
BITNETD_DEVICE void copy_wait();

// --- arithmetic ---------------------------------------------------------------------------------

// One rounding. Nothing else in a kernel may become one: nvcc runs with -fmad=false.
BITNETD_DEVICE float fma(float a, float b, float c);
BITNETD_DEVICE double fma(double a, double b, double c);
BITNETD_DEVICE float square_root(float x);  // rounded to nearest
BITNETD_DEVICE uint32_t bits_of(float x);
BITNETD_DEVICE float float_of(uint32_t bits);

// sum + the four products of the signed bytes of a and b, modulo 2^32.
BITNETD_DEVICE int32_t dot_4(uint32_t a, uint32_t b, int32_t sum);
// Byte i of the result is byte (selector >> 4 i & 7) of the eight bytes of `low` and `high`.
BITNETD_DEVICE uint32_t select_bytes(uint32_t low, uint32_t high, uint32_t selector);

// A warp adds the product of int8 matrices a [16][32] and b [8][32] (both along k) to sums [16][8].
// With g = lane / 4 and t = lane % 4 a lane holds, lowest byte first,
//   a[0] = a[g][4t..], a[1] = a[g + 8][4t..], a[2] = a[g][16 + 4t..], a[3] = a[g + 8][16 + 4t..]
//   b[0] = b[g][4t..], b[1] = b[g][16 + 4t..]
//   sums = [g][2t], [g][2t + 1], [g + 8][2t], [g + 8][2t + 1]
BITNETD_DEVICE void multiply_16x8x32(int32_t (&sums)[4], const uint32_t (&a)[4],
                                     const uint32_t (&b)[2]);
// A warp loads four matrices of 8 rows by 16 bytes from shared memory: lane 8i + r gives the
// address (16-byte aligned) of row r of matrix i, and gets bytes 4t.. of row g of each.
BITNETD_DEVICE void load_matrices(uint32_t (&out)[4], const void* row);

}  // namespace bitnetd::kernels::cuda

#ifdef __CUDACC__
#include "worker/kernels/cuda/nvcc_ops.cuh"
#endif
