#include "tests/support/amx/emulated_table.h"

#include <atomic>

#include "tests/support/amx/emulated_tiles.h"
#include "worker/kernels/amx/ternary_gemm.h"
#include "worker/kernels/avx512/ternary_dot.h"

namespace bitnetd::kernels::amx_emulated {
namespace {

std::atomic<uint64_t> products{0};

class CountedTiles : public amx::EmulatedTiles {
  public:
    using EmulatedTiles::EmulatedTiles;

    template <int kSums, int kCodes, int kValues>
    void dot() {
        products.fetch_add(1, std::memory_order_relaxed);
        EmulatedTiles::dot<kSums, kCodes, kValues>();
    }
};

}  // namespace

void ternary_gemm(int32_t m, int32_t n, int32_t k_padded, const int8_t* q, const int32_t* q_sum,
                  const float* x_scale, const uint8_t* w, float w_scale, float* y,
                  int64_t y_stride) noexcept {
    amx::ternary_gemm<CountedTiles, avx512::TernaryDot>(m, n, k_padded, q, q_sum, x_scale, w,
                                                        w_scale, y, y_stride);
}

uint64_t tile_products() {
    return products.load(std::memory_order_relaxed);
}

void divide_16(const float* a, float b, float* quotients) {
    _mm512_storeu_ps(quotients, amx::divide(_mm512_loadu_ps(a), amx::Divisor::of(b)));
}

}  // namespace bitnetd::kernels::amx_emulated
