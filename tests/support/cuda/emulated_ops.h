// device_ops.cuh for g++: the operations of a device in plain C++, as the PTX manual describes
// them. Included behind device_ops.cuh and before the kernels, in emulated_table.cc and in tests
// that bring kernels of their own.
#pragma once

#include <bit>
#include <cmath>
#include <cstring>

#include "tests/support/cuda/block.h"
#include "tests/support/cuda/stream.h"
#include "worker/kernels/cuda/device_ops.cuh"

namespace bitnetd::kernels::cuda {

namespace emulated = bitnetd::kernels::cuda_emulated;

template <typename... Parameters>
void launch(Stream stream, Grid grid, int32_t threads, size_t shared_bytes,
            void (*kernel)(Parameters...), std::type_identity_t<Parameters>... arguments) {
    if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
    stream->put([=] {
        emulated::run_blocks({grid, threads, shared_bytes}, [&] { kernel(arguments...); });
    });
}

inline int32_t thread_index() {
    return emulated::here.thread;
}
inline int32_t thread_count() {
    return emulated::here.threads;
}
inline int32_t block_x() {
    return emulated::here.block_x;
}
inline int32_t block_y() {
    return emulated::here.block_y;
}
inline int32_t block_z() {
    return emulated::here.block_z;
}
inline int32_t grid_x() {
    return emulated::here.grid_x;
}
inline int32_t lane_index() {
    return thread_index() % kWarp;
}
inline int32_t warp_index() {
    return thread_index() / kWarp;
}

inline void wait_for_earlier_launches() {}
inline void block_barrier() {
    emulated::meet_block();
}

namespace emulated_parts {

// function(in of all lanes, out of all lanes) when the last lane has come.
template <typename In, typename Out, typename Function>
Out together(emulated::Meeting meeting, const In& in, Out out, Function function) {
    if (emulated::Lanes* lanes = emulated::meet_warp(meeting, &in, &out)) {
        const In* ins[kWarp];
        Out* outs[kWarp];
        for (int32_t l = 0; l < kWarp; ++l) {
            ins[l] = static_cast<const In*>(lanes->in[l]);
            outs[l] = static_cast<Out*>(lanes->out[l]);
        }
        function(ins, outs);
        emulated::release_warp();
    }
    return out;
}

template <typename T>
struct Shuffled {
    T value;
    int32_t lane;  // whose value it wants
};

template <typename T>
T shuffled(emulated::Meeting meeting, T value, int32_t lane) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8);
    using In = Shuffled<T>;
    return together(meeting, In{value, lane & (kWarp - 1)}, value,
                    [](const In* const* ins, T* const* outs) {
                        for (int32_t l = 0; l < kWarp; ++l)
                            *outs[l] = ins[ins[l]->lane]->value;
                    });
}

inline void check_aligned(const void* address) {
    if (reinterpret_cast<uintptr_t>(address) % 16 != 0)
        emulated::refuse("an access of 16 bytes needs an address that is a multiple of 16");
}

}  // namespace emulated_parts

inline void warp_barrier() {
    emulated_parts::together(emulated::Meeting::kBarrier, 0, 0,
                             [](const int* const*, int* const*) {});
}
template <typename T>
T shuffle_xor(T value, int32_t bits) {
    return emulated_parts::shuffled(emulated::Meeting::kShuffleXor, value, lane_index() ^ bits);
}
template <typename T>
T shuffle(T value, int32_t from) {
    return emulated_parts::shuffled(emulated::Meeting::kShuffle, value, from);
}
inline uint32_t ballot(bool condition) {
    return emulated_parts::together(emulated::Meeting::kBallot, condition, uint32_t{0},
                                    [](const bool* const* ins, uint32_t* const* outs) {
                                        uint32_t bits = 0;
                                        for (int32_t l = 0; l < kWarp; ++l)
                                            bits |= *ins[l] ? 1u << l : 0u;
                                        for (int32_t l = 0; l < kWarp; ++l)
                                            *outs[l] = bits;
                                    });
}

inline std::byte* dynamic_shared() {
    return emulated::here.shared;
}
inline Words load_constant(const void* from) {
    emulated_parts::check_aligned(from);
    Words words;
    std::memcpy(&words, from, sizeof words);
    return words;
}
inline Words load_once(const void* from) {
    return load_constant(from);
}
inline void copy_async(void* shared, const void* from, bool valid) {
    emulated::start_copy(shared, from, valid);
}
inline void copy_commit() {
    emulated::commit_copies();
}
template <int kNewest>
void copy_wait() {
    emulated::wait_copies(kNewest);
}

inline float fma(float a, float b, float c) {
    return __builtin_fmaf(a, b, c);
}
inline double fma(double a, double b, double c) {
    return __builtin_fma(a, b, c);
}
inline float square_root(float x) {
    return __builtin_sqrtf(x);
}
inline uint32_t bits_of(float x) {
    return std::bit_cast<uint32_t>(x);
}
inline float float_of(uint32_t bits) {
    return std::bit_cast<float>(bits);
}
inline int32_t dot_4(uint32_t a, uint32_t b, int32_t sum) {
    int32_t products = 0;  // at most 2^16
    for (int i = 0; i < 32; i += 8)
        products += static_cast<int8_t>(a >> i) * static_cast<int8_t>(b >> i);
    return static_cast<int32_t>(static_cast<uint32_t>(sum) + static_cast<uint32_t>(products));
}
inline uint32_t select_bytes(uint32_t low, uint32_t high, uint32_t selector) {
    const uint64_t bytes = uint64_t{high} << 32 | low;
    uint32_t selected = 0;
    for (int i = 0; i < 4; ++i)
        selected |= static_cast<uint32_t>(bytes >> (selector >> 4 * i & 7) * 8 & 0xff) << 8 * i;
    return selected;
}

namespace emulated_parts {

struct Operands {
    uint32_t a[4];
    uint32_t b[2];
};
struct Sums {
    int32_t sum[4];
};

// From the lanes' registers to matrices, the product, and back.
inline void multiply_tile(const Operands* const* ins, Sums* const* outs) {
    int8_t a[16][32];
    int8_t b[8][32];
    for (int32_t l = 0; l < kWarp; ++l) {
        const int32_t g = l / 4;
        const int32_t t = l % 4 * 4;
        std::memcpy(&a[g][t], &ins[l]->a[0], 4);
        std::memcpy(&a[g + 8][t], &ins[l]->a[1], 4);
        std::memcpy(&a[g][16 + t], &ins[l]->a[2], 4);
        std::memcpy(&a[g + 8][16 + t], &ins[l]->a[3], 4);
        std::memcpy(&b[g][t], &ins[l]->b[0], 4);
        std::memcpy(&b[g][16 + t], &ins[l]->b[1], 4);
    }
    for (int32_t l = 0; l < kWarp; ++l) {
        for (int32_t i = 0; i < 4; ++i) {
            const int8_t* row = a[l / 4 + i / 2 * 8];
            const int8_t* column = b[l % 4 * 2 + i % 2];
            int32_t sum = 0;
            for (int32_t k = 0; k < 32; ++k)
                sum += row[k] * column[k];
            outs[l]->sum[i] = static_cast<int32_t>(static_cast<uint32_t>(outs[l]->sum[i]) +
                                                   static_cast<uint32_t>(sum));
        }
    }
}

}  // namespace emulated_parts

inline void multiply_16x8x32(int32_t (&sums)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    using emulated_parts::Operands;
    using emulated_parts::Sums;
    const Sums result = emulated_parts::together(
        emulated::Meeting::kMultiply, Operands{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}},
        Sums{{sums[0], sums[1], sums[2], sums[3]}}, emulated_parts::multiply_tile);
    std::memcpy(sums, result.sum, sizeof sums);
}

inline void load_matrices(uint32_t (&out)[4], const void* row) {
    emulated_parts::check_aligned(row);
    const Words loaded = emulated_parts::together(
        emulated::Meeting::kLoadMatrices, row, Words{},
        [](const void* const* const* ins, Words* const* outs) {
            for (int32_t l = 0; l < kWarp; ++l) {
                for (int32_t i = 0; i < 4; ++i) {
                    const auto* bytes = static_cast<const std::byte*>(*ins[8 * i + l / 4]);
                    std::memcpy(&outs[l]->word[i], bytes + l % 4 * 4, 4);
                }
            }
        });
    std::memcpy(out, loaded.word, sizeof out);
}

}  // namespace bitnetd::kernels::cuda
