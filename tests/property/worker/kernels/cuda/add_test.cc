// Goal: x += y on the device gives the reference's bits.
// Method: every count around the size of a block, over the emulation.
#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "tests/support/cuda/emulated_table.h"
#include "tests/support/cuda/stream.h"

namespace bitnetd::kernels::cuda_emulated {
namespace {

TEST(CudaAdd, IsTheSum) {
    std::mt19937 random(1);
    std::uniform_real_distribution<float> real(-2.0f, 2.0f);
    CUstream_st stream;
    for (size_t count = 1; count < 600; ++count) {
        std::vector<float> x(count), y(count), want(count);
        for (size_t i = 0; i < count; ++i) {
            x[i] = real(random);
            y[i] = real(random);
            want[i] = x[i] + y[i];
        }
        table().add(&stream, static_cast<int64_t>(count), y.data(), x.data());
        ASSERT_EQ(x, want) << count;
    }
}

}  // namespace
}  // namespace bitnetd::kernels::cuda_emulated
