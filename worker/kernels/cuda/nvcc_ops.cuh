// device_ops.cuh as instructions of the device. Only nvcc sees this file.
#pragma once

#include <cuda_runtime.h>

#include "worker/kernels/cuda/device_ops.cuh"

namespace bitnetd::kernels::cuda {

// Whether a launch may begin before the one before it has ended (wait_for_earlier_launches()): from
// sm_90 on, and where graphs know it, driver and runtime 12.3.
inline bool launches_may_overlap() {
    static const bool may = [] {
        constexpr int kGraphsKnowIt = 12030;
        int device = 0;
        int major = 0;
        int driver = 0;
        return CUDART_VERSION >= kGraphsKnowIt && cudaGetDevice(&device) == cudaSuccess &&
               cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) ==
                   cudaSuccess &&
               cudaDriverGetVersion(&driver) == cudaSuccess && major >= 9 &&
               driver >= kGraphsKnowIt;
    }();
    return may;
}

template <typename... Parameters>
void launch(Stream stream, Grid grid, int32_t threads, size_t shared_bytes,
            void (*kernel)(Parameters...), std::type_identity_t<Parameters>... arguments) {
    if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
    // A block may have 48 KiB without asking, what the kernel itself declares included (up to some
    // 5 KiB; 16 are left for it). An error stays in the runtime for the device to find.
    constexpr size_t kUnasked = 32 * 1024;
    if (shared_bytes > kUnasked) {
        cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                             cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(shared_bytes));
    }
    cudaLaunchAttribute overlap{};
    overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    overlap.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = dim3(grid.x, grid.y, grid.z);
    config.blockDim = dim3(static_cast<unsigned>(threads));
    config.dynamicSmemBytes = shared_bytes;
    config.stream = stream;
    config.attrs = &overlap;
    config.numAttrs = launches_may_overlap() ? 1 : 0;
    cudaLaunchKernelEx(&config, kernel, arguments...);
}

BITNETD_DEVICE int32_t thread_index() {
    return static_cast<int32_t>(threadIdx.x);
}
BITNETD_DEVICE int32_t thread_count() {
    return static_cast<int32_t>(blockDim.x);
}
BITNETD_DEVICE int32_t block_x() {
    return static_cast<int32_t>(blockIdx.x);
}
BITNETD_DEVICE int32_t block_y() {
    return static_cast<int32_t>(blockIdx.y);
}
BITNETD_DEVICE int32_t block_z() {
    return static_cast<int32_t>(blockIdx.z);
}
BITNETD_DEVICE int32_t grid_x() {
    return static_cast<int32_t>(gridDim.x);
}
BITNETD_DEVICE int32_t lane_index() {
    return thread_index() % kWarp;
}
BITNETD_DEVICE int32_t warp_index() {
    return thread_index() / kWarp;
}

// The next launch may begin when all blocks of this one came here; it waits itself.
BITNETD_DEVICE void wait_for_earlier_launches() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
BITNETD_DEVICE void block_barrier() {
    __syncthreads();
}
BITNETD_DEVICE void warp_barrier() {
    __syncwarp();
}

inline constexpr unsigned kAllLanes = 0xffffffff;

template <typename T>
BITNETD_DEVICE T shuffle_xor(T value, int32_t bits) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8);
    return __shfl_xor_sync(kAllLanes, value, bits);
}
template <typename T>
BITNETD_DEVICE T shuffle(T value, int32_t from) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8);
    return __shfl_sync(kAllLanes, value, from);
}
BITNETD_DEVICE uint32_t ballot(bool condition) {
    return __ballot_sync(kAllLanes, condition);
}

BITNETD_DEVICE std::byte* dynamic_shared() {
    extern __shared__ uint4 bitnetd_dynamic_shared[];
    return reinterpret_cast<std::byte*>(bitnetd_dynamic_shared);
}

BITNETD_DEVICE Words load_once(const void* from) {
    Words words;
    asm("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
        : "=r"(words.word[0]), "=r"(words.word[1]), "=r"(words.word[2]), "=r"(words.word[3])
        : "l"(__cvta_generic_to_global(from)));
    return words;
}
BITNETD_DEVICE Words load_constant(const void* from) {
    const uint4 loaded = __ldg(static_cast<const uint4*>(from));
    return {{loaded.x, loaded.y, loaded.z, loaded.w}};
}

BITNETD_DEVICE uint32_t shared_address(const void* shared) {
    return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}

// Without asynchronous copies (sm_75) a copy is done at once, and there is nothing to wait for.
BITNETD_DEVICE void copy_async(void* shared, const void* from, bool valid) {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)),
                 "l"(__cvta_generic_to_global(from)), "r"(valid ? 16 : 0)
                 : "memory");
#else
    *static_cast<uint4*>(shared) = valid ? *static_cast<const uint4*>(from) : uint4{0, 0, 0, 0};
#endif
}
BITNETD_DEVICE void copy_commit() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
template <int kNewest>
BITNETD_DEVICE void copy_wait() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(kNewest) : "memory");
#endif
}

BITNETD_DEVICE float fma(float a, float b, float c) {
    return __fmaf_rn(a, b, c);
}
BITNETD_DEVICE double fma(double a, double b, double c) {
    return __fma_rn(a, b, c);
}
BITNETD_DEVICE float square_root(float x) {
    return __fsqrt_rn(x);
}
BITNETD_DEVICE uint32_t bits_of(float x) {
    return __float_as_uint(x);
}
BITNETD_DEVICE float float_of(uint32_t bits) {
    return __uint_as_float(bits);
}
BITNETD_DEVICE int32_t dot_4(uint32_t a, uint32_t b, int32_t sum) {
    return __dp4a(static_cast<int32_t>(a), static_cast<int32_t>(b), sum);
}
BITNETD_DEVICE uint32_t select_bytes(uint32_t low, uint32_t high, uint32_t selector) {
    return __byte_perm(low, high, selector);
}

BITNETD_DEVICE void multiply_8x8x16(int32_t& sum_0, int32_t& sum_1, uint32_t a, uint32_t b) {
    asm("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"
        : "+r"(sum_0), "+r"(sum_1)
        : "r"(a), "r"(b));
}
// sm_75 has only the quarter of it, whose registers are those of the whole.
BITNETD_DEVICE void multiply_16x8x32(int32_t (&sums)[4], const uint32_t (&a)[4],
                                     const uint32_t (&b)[2]) {
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+r"(sums[0]), "+r"(sums[1]), "+r"(sums[2]), "+r"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    multiply_8x8x16(sums[0], sums[1], a[0], b[0]);
    multiply_8x8x16(sums[0], sums[1], a[2], b[1]);
    multiply_8x8x16(sums[2], sums[3], a[1], b[0]);
    multiply_8x8x16(sums[2], sums[3], a[3], b[1]);
#endif
}
BITNETD_DEVICE void load_matrices(uint32_t (&out)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(shared_address(row))
                 : "memory");
}

}  // namespace bitnetd::kernels::cuda
