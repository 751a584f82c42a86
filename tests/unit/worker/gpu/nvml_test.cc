// Goal: a GPU's figures are read where the driver's library is, each that it does not tell is left
// out, and without the library there are none.
// Method: a library with the driver's names, opened by path.
#include "worker/gpu/nvml.h"

#include <gtest/gtest.h>

namespace bitnetd::worker {
namespace {

constexpr const char* kFake = BITNETD_BINARY_DIR "/libfake_nvml.so";

TEST(Nvml, ReadsWhatTheDriverTells) {
    const auto nvml = Nvml::open("0000:41:00.0", kFake);
    ASSERT_TRUE(nvml);
    const GpuFigures figures = nvml->read();
    EXPECT_EQ(figures.memory_used_bytes, 30'000u);
    EXPECT_EQ(figures.memory_total_bytes, 80'000u);
    EXPECT_EQ(figures.temperature_celsius, 63u);
    EXPECT_EQ(figures.power_milliwatts, std::nullopt);
    EXPECT_EQ(figures.clock_hertz, 1'980'000'000u);
    EXPECT_EQ(figures.memory_clock_hertz, 2'619'000'000u);
    EXPECT_EQ(figures.utilisation_percent, 97u);
}

TEST(Nvml, IsAbsentWithoutTheGpuOrTheLibrary) {
    EXPECT_FALSE(Nvml::open("0000:42:00.0", kFake));
    EXPECT_FALSE(Nvml::open("0000:41:00.0", "libthere-is-none.so.1"));
}

}  // namespace
}  // namespace bitnetd::worker
