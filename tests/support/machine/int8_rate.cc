#include "tests/support/machine/int8_rate.h"

#include <array>
#include <cstddef>

#include "worker/kernels/amx/tile.h"
#include "worker/kernels/amx_permission.h"

namespace bitnetd::bench {
namespace {

// Operands: a power-hungry mix of bits, as weights and activations are.
struct alignas(64) Operands {
    uint8_t bytes[1024];
};
constexpr Operands make_operands() {
    Operands out{};
    for (size_t i = 0; i < sizeof out.bytes; ++i)
        out.bytes[i] = static_cast<uint8_t>(i * 151 + i / 7);
    return out;
}
constexpr Operands kOperands = make_operands();

#define BITNETD_VECTORS                                                                      \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"

// What maddubs makes is added in 16 bits, as kernels do for as many products as fit before they
// widen. Six products, then six additions: other orders are up to a fifth slower on some CPUs.
void run_avx2(int64_t rounds) noexcept {
    asm volatile(
        "vmovdqu (%1), %%ymm0\n"
        "vmovdqu 64(%1), %%ymm1\n"
        "1:\n"
        ".irp product, 2, 3, 4, 5, 6, 7\n"
        "vpmaddubsw %%ymm0, %%ymm1, %%ymm\\product\n"
        ".endr\n"
        "vpaddw %%ymm2, %%ymm8, %%ymm8\n"
        "vpaddw %%ymm3, %%ymm9, %%ymm9\n"
        "vpaddw %%ymm4, %%ymm10, %%ymm10\n"
        "vpaddw %%ymm5, %%ymm11, %%ymm11\n"
        "vpaddw %%ymm6, %%ymm12, %%ymm12\n"
        "vpaddw %%ymm7, %%ymm13, %%ymm13\n"
        "dec %0\n"
        "jnz 1b\n"
        "vzeroupper\n"
        : "+r"(rounds)
        : "r"(kOperands.bytes)
        : "cc", BITNETD_VECTORS);
}

void run_avx512(int64_t rounds) noexcept {
    asm volatile(
        "vmovdqu64 (%1), %%zmm0\n"
        "vmovdqu64 64(%1), %%zmm1\n"
        "1:\n"
        ".irp product, 2, 3, 4, 5, 6, 7\n"
        "vpmaddubsw %%zmm0, %%zmm1, %%zmm\\product\n"
        ".endr\n"
        "vpaddw %%zmm2, %%zmm8, %%zmm8\n"
        "vpaddw %%zmm3, %%zmm9, %%zmm9\n"
        "vpaddw %%zmm4, %%zmm10, %%zmm10\n"
        "vpaddw %%zmm5, %%zmm11, %%zmm11\n"
        "vpaddw %%zmm6, %%zmm12, %%zmm12\n"
        "vpaddw %%zmm7, %%zmm13, %%zmm13\n"
        "dec %0\n"
        "jnz 1b\n"
        "vzeroupper\n"
        : "+r"(rounds)
        : "r"(kOperands.bytes)
        : "cc", BITNETD_VECTORS);
}

// Twelve sums hide the latency of one on every CPU so far.
void run_avx512vnni(int64_t rounds) noexcept {
    asm volatile(
        "vmovdqu64 (%1), %%zmm0\n"
        "vmovdqu64 64(%1), %%zmm1\n"
        "1:\n"
        ".irp sum, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
        "vpdpbusd %%zmm0, %%zmm1, %%zmm\\sum\n"
        ".endr\n"
        "dec %0\n"
        "jnz 1b\n"
        "vzeroupper\n"
        : "+r"(rounds)
        : "r"(kOperands.bytes)
        : "cc", BITNETD_VECTORS);
}

// Four sums: a product takes 52 cycles and one begins every 16.
void run_amx(int64_t rounds) noexcept {
    asm volatile(
        "ldtilecfg (%2)\n"
        "tilezero %%tmm0\n"
        "tilezero %%tmm1\n"
        "tilezero %%tmm2\n"
        "tilezero %%tmm3\n"
        "tileloadd (%1,%3,1), %%tmm4\n"
        "tileloadd (%1,%3,1), %%tmm5\n"
        "1:\n"
        "tdpbusd %%tmm4, %%tmm5, %%tmm0\n"
        "tdpbusd %%tmm4, %%tmm5, %%tmm1\n"
        "tdpbusd %%tmm4, %%tmm5, %%tmm2\n"
        "tdpbusd %%tmm4, %%tmm5, %%tmm3\n"
        "dec %0\n"
        "jnz 1b\n"
        "tilerelease\n"
        : "+r"(rounds)
        : "r"(kOperands.bytes), "r"(&kernels::amx::kWholeTiles), "r"(int64_t{64})
        : "cc", "memory");
}

struct Sets {
    std::array<Int8Set, 4> sets{};
    size_t count = 0;

    Sets() {
        // Bytes of a vector, times the sums of a round.
        if (__builtin_cpu_supports("avx2")) sets[count++] = {"avx2", 32 * 6, run_avx2};
        if (__builtin_cpu_supports("avx512bw")) sets[count++] = {"avx512", 64 * 6, run_avx512};
        if (__builtin_cpu_supports("avx512vnni")) {
            sets[count++] = {"avx512vnni", 64 * 12, run_avx512vnni};
        }
        // 16 by 16 sums of 64 products, four times.
        if (kernels::request_amx().is_usable) {
            sets[count++] = {"amx", int64_t{16} * 16 * 64 * 4, run_amx};
        }
    }
};

}  // namespace

std::span<const Int8Set> int8_sets() {
    static const Sets sets;
    return {sets.sets.data(), sets.count};
}

}  // namespace bitnetd::bench
