// Goal: the models that `./dev bench model` makes are models: the loader takes them, and their
// numbers are finite. Method: each measured shape made small, all its tensor types kept, is
// written, opened and packed as a file would be, and computed on the best table.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include "tests/support/bench/packed_file.h"
#include "tests/support/bench/random_model.h"
#include "worker/kernels/dispatch.h"
#include "worker/prepare/self_test.h"

namespace bitnetd::bench {
namespace {

ModelShape made_small(ModelShape shape) {
    shape.layers = 3;
    shape.hidden = shape.ffn = 256;
    shape.heads = 4;
    shape.kv_heads = 2;
    shape.head_dim = 64;
    shape.vocab = 1500;  // words of two letters, and the first of three
    shape.context = 64;
    return shape;
}

Result<shm::Segment> made_and_packed(const ModelShape& shape) {
    Fd file(memfd_create("random-model", MFD_CLOEXEC));
    BITNETD_TRY(write_random_model(shape, 1, file.get()));
    return pack_file(std::move(file), {});
}

TEST(RandomModel, EveryShapeIsTakenAndComputed) {
    for (const ModelShape& shape : model_shapes()) {
        SCOPED_TRACE(shape.name);
        const auto segment = made_and_packed(made_small(shape));
        ASSERT_TRUE(segment.ok()) << segment.error().message;
        const auto weights = worker::open_weights(segment->view());
        ASSERT_TRUE(weights.ok()) << weights.error().message;
        EXPECT_EQ(weights->header.vocab, 1500u);
        EXPECT_EQ(weights->header.layers, 3u);
        const auto values = worker::self_test_values(*weights, *kernels::usable_tables().front());
        EXPECT_TRUE(values.ok()) << values.error().message;
    }
}

TEST(RandomModel, CostsAreThoseOfTheShape) {
    const ModelShape shape = made_small(*find_shape("2b4t"));
    const auto segment = made_and_packed(shape);
    ASSERT_TRUE(segment.ok()) << segment.error().message;
    const StepCosts costs = costs_of(segment->view());
    // q, output: 256 x 256; k, v: 128 x 256; gate, up, down: 256 x 256
    const double weights = 3 * (2 * 256 + 2 * 128 + 3 * 256) * 256;
    EXPECT_EQ(costs.layer_multiply_adds, weights);
    // two bits each, and four norms of 256 floats a layer
    EXPECT_EQ(costs.layer_bytes, weights / 4 + 3 * 4 * 256 * 4);
    EXPECT_EQ(costs.output_multiply_adds, 1500 * 256);
    EXPECT_EQ(costs.output_bytes, 1500 * 256 * 2);  // F16, too small for a screen
}

}  // namespace
}  // namespace bitnetd::bench
