// Goal: weights arrive on the device whole, or are refused with figures; a device whose kernels, or
// whose memory, are not right is refused with what differs; and the self-check leaves nothing
// behind. Method: small models on an emulated device; kernels that are wrong in one value, and
// weights that changed on their way.
#include "worker/gpu/device_check.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/support/devices/gpu_fixture.h"
#include "tests/support/worker/tiny_model.h"
#include "worker/kernels/dispatch.h"

namespace bitnetd::worker {
namespace {

using kernels::cuda::CudaKernels;
using kernels::cuda::Stream;
using test::EmulatedDevice;
using test::kGpuTimeoutNs;
using test::TinyModel;
using test::TinyShape;

class DeviceCheckTest : public ::testing::Test {
  protected:
    // "" where the device may be used.
    std::string check(const CudaKernels& kernels, const WeightsView* on_device = nullptr) {
        const auto checked = check_device({.device = device_,
                                           .kernels = kernels,
                                           .on_device = on_device ? *on_device : uploaded_.view,
                                           .on_host = weights_,
                                           .table = *kernels::find("scalar"),
                                           .pool = *pool_,
                                           .kv_type = KvType::kF16,
                                           .timeout_ns = kGpuTimeoutNs});
        if (checked.ok()) return "";
        EXPECT_EQ(checked.error().code, ErrorCode::kInternal);
        return checked.error().message;
    }

    const TinyModel model_{TinyShape{.layers = 3, .family = "gemma3", .sliding_window = 20}, 7};
    const WeightsView weights_ = open_weights(model_.segment()).value();
    std::vector<uint64_t> progress_;
    EmulatedDevice device_;
    const DeviceWeights uploaded_ =
        upload_weights(device_, weights_, kGpuTimeoutNs, [this](uint64_t done, uint64_t all) {
            progress_.push_back(done);
            EXPECT_LE(done, all);
        }).value();
    const std::unique_ptr<ThreadPool> pool_ = ThreadPool::create({{0}, false, 0}).value();
};

TEST_F(DeviceCheckTest, AGoodDeviceIsUsedAndGetsItsMemoryBack) {
    EXPECT_TRUE(std::ranges::is_sorted(progress_));
    EXPECT_EQ(progress_.back(), uploaded_.bytes);
    const uint64_t free_bytes = device_.free_bytes().value();
    EXPECT_EQ(check(kernels::cuda_emulated::table()), "");
    EXPECT_EQ(device_.free_bytes().value(), free_bytes);
}

TEST_F(DeviceCheckTest, AWrongKernelIsFound) {
    CudaKernels kernels = kernels::cuda_emulated::table();
    // Only the products of few rows are wrong, in the last place of one value.
    kernels.multiply = [](Stream stream, int32_t m,
                          std::span<const kernels::cuda::Product> products,
                          kernels::cuda::Rounding rounding, const kernels::cuda::Rounded& rounded,
                          const float* x, kernels::cuda::Store store) noexcept {
        kernels::cuda_emulated::table().multiply(stream, m, products, rounding, rounded, x, store);
        float* const y = products[0].y;
        // Stored queries are turned afterwards; values 8 and on of a head are not.
        if (m == 1) stream->put([y] { y[9] *= 1.0f + 0x1p-23f; });
    };
    const std::string reason = check(kernels);
    EXPECT_NE(reason.find("query 9 of row 0 of a step of 1 is"), std::string::npos) << reason;
    EXPECT_NE(reason.find("self-check of Emulated GPU"), std::string::npos) << reason;
    EXPECT_NE(reason.find("scalar"), std::string::npos) << reason;
}

TEST_F(DeviceCheckTest, AWrongDrawIsFound) {
    CudaKernels kernels = kernels::cuda_emulated::table();
    kernels.draw = [](Stream stream, int32_t m, int32_t vocab, const float* logits,
                      kernels::cuda::PlainDraw* draws) noexcept {
        kernels::cuda_emulated::table().draw(stream, m, vocab, logits, draws);
        stream->put([=] {
            for (int32_t i = 0; i < m; ++i)
                draws[i].token = (draws[i].token + 1) % static_cast<uint32_t>(vocab);
        });
    };
    EXPECT_NE(check(kernels).find("the token drawn after row"), std::string::npos);
}

TEST_F(DeviceCheckTest, WeightsThatChangedOnTheirWayAreFound) {
    // One bit of the first layer's down matrix, in the device's memory.
    auto* const byte = const_cast<std::byte*>(uploaded_.view.layers[0].down.weights);
    *byte ^= std::byte{1};
    EXPECT_NE(check(kernels::cuda_emulated::table()), "");
    *byte ^= std::byte{1};
    EXPECT_EQ(check(kernels::cuda_emulated::table()), "");
}

// Of a short context too, down to steps of one row.
TEST(DeviceCheck, ChecksModelsOfAnyContext) {
    for (const uint32_t context : {1u, 2u, 3u, 6u, 41u}) {
        const TinyModel model(TinyShape{.layers = 1, .context = context}, 7);
        const WeightsView weights = open_weights(model.segment()).value();
        EmulatedDevice device;
        const DeviceWeights uploaded =
            upload_weights(device, weights, kGpuTimeoutNs, [](uint64_t, uint64_t) {}).value();
        const auto pool = ThreadPool::create({{0}, false, 0}).value();
        const auto check = [&] {
            return check_device({.device = device,
                                 .kernels = kernels::cuda_emulated::table(),
                                 .on_device = uploaded.view,
                                 .on_host = weights,
                                 .table = *kernels::find("scalar"),
                                 .pool = *pool,
                                 .kv_type = KvType::kF32,
                                 .timeout_ns = kGpuTimeoutNs});
        };
        EXPECT_TRUE(check().ok()) << context;
        *const_cast<std::byte*>(uploaded.view.layers[0].down.weights) ^= std::byte{1};
        EXPECT_FALSE(check().ok()) << context;
    }
}

TEST(UploadWeights, RefusesWhatDoesNotFit) {
    const TinyModel model(TinyShape{}, 7);
    EmulatedDevice device({.memory_bytes = 10'000});
    const auto uploaded = upload_weights(device, open_weights(model.segment()).value(),
                                         kGpuTimeoutNs, [](uint64_t, uint64_t) {});
    ASSERT_FALSE(uploaded.ok());
    EXPECT_EQ(uploaded.error().code, ErrorCode::kExhausted);
    EXPECT_NE(uploaded.error().message.find("10000 of 10000 are free"), std::string::npos)
        << uploaded.error().message;
}

TEST(UploadWeights, SaysThatTheDeviceWasLost) {
    const TinyModel model(TinyShape{}, 7);
    EmulatedDevice device({.lost_at_wait = 5});
    const auto uploaded = upload_weights(device, open_weights(model.segment()).value(),
                                         kGpuTimeoutNs, [](uint64_t, uint64_t) {});
    ASSERT_FALSE(uploaded.ok());
    EXPECT_EQ(uploaded.error().code, ErrorCode::kUnavailable);
}

// A tied output matrix is there once.
TEST(UploadWeights, SharesWhatIsShared) {
    const TinyModel model(TinyShape{}, 7);
    EmulatedDevice device;
    const auto uploaded = upload_weights(device, open_weights(model.segment()).value(),
                                         kGpuTimeoutNs, [](uint64_t, uint64_t) {})
                              .value();
    EXPECT_EQ(uploaded.view.output.weights, uploaded.view.embedding.weights);
    EXPECT_EQ(uploaded.view.layers[0].rope, uploaded.view.layers[1].rope);
    EXPECT_EQ(uploaded.view.layers[0].q.bias, nullptr);
}

TEST(CheckGpu, RefusesWhatNoKernelComputes) {
    const TinyModel model(TinyShape{.family = "qwen2", .linear_packing = shm::Packing::kBF16}, 7);
    const auto rounding =
        open_weights(model.segment(), BlockInputs::kInt8, Bf16Inputs::kBf16).value();
    const auto checked = check_gpu(rounding);
    ASSERT_FALSE(checked.ok());
    EXPECT_NE(checked.error().message.find("worker.bf16_inputs"), std::string::npos);
    EXPECT_TRUE(check_gpu(open_weights(model.segment()).value()).ok());
}

}  // namespace
}  // namespace bitnetd::worker
