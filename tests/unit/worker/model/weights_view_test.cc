// Goal: a segment that is not as its header says is refused, whatever field is wrong; a good one
// gives pointers to its tensors. Method: one small model, one mutation each.
#include "worker/model/weights_view.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "tests/support/worker/tiny_model.h"

namespace bitnetd::worker {
namespace {

using shm::TensorPart;
using test::TinyModel;

TEST(WeightsView, GivesEveryTensor) {
    TinyModel model({.biases = true}, 1);
    const auto view = open_weights(model.segment());
    ASSERT_TRUE(view.ok()) << view.error().message;
    const std::byte* base = model.segment().data();
    EXPECT_EQ(view->layers.size(), 2u);
    EXPECT_EQ(view->output.weights, view->embedding.weights);
    EXPECT_EQ(reinterpret_cast<const std::byte*>(view->layers[1].down.weights) - base,
              static_cast<int64_t>(model.entry(TensorPart::kFfnDown, 1).offset));
    EXPECT_EQ(view->layers[1].down.inputs, 80);
    EXPECT_EQ(view->layers[1].down.outputs, 48);
    EXPECT_NE(view->layers[0].k.bias, nullptr);
    EXPECT_EQ(view->query_size(), 48);
    EXPECT_EQ(view->kv_size(), 24);
}

TEST(WeightsView, TakesAnOutputMatrixOfItsOwn) {
    TinyModel model({.own_output = true, .table_packing = shm::Packing::kF32}, 1);
    const auto view = open_weights(model.segment());
    ASSERT_TRUE(view.ok());
    EXPECT_NE(view->output.weights, view->embedding.weights);
    EXPECT_EQ(view->layers[0].q.bias, nullptr);
}

TEST(WeightsView, RefusesWhatDoesNotFit) {
    const std::vector<std::function<void(TinyModel&)>> mutations = {
        [](TinyModel& m) { m.header().magic ^= 1; },
        [](TinyModel& m) { m.header().abi_version += 1; },
        [](TinyModel& m) { m.header().header_bytes -= 8; },
        [](TinyModel& m) { m.header().segment_bytes += 1; },
        [](TinyModel& m) { m.header().family[0] = 'x'; },
        [](TinyModel& m) { m.header().tensor_count = 65537; },
        [](TinyModel& m) { m.header().tensor_count -= 1; },
        [](TinyModel& m) { m.header().layers = 3; },
        [](TinyModel& m) { m.header().layers = 0; },
        [](TinyModel& m) { m.header().hidden = 0; },
        [](TinyModel& m) { m.header().hidden = 1u << 31; },
        [](TinyModel& m) { m.header().ffn += 1; },
        [](TinyModel& m) { m.header().heads = 0; },
        [](TinyModel& m) { m.header().heads = UINT32_MAX; },
        [](TinyModel& m) { m.header().kv_heads = 3; },
        [](TinyModel& m) { m.header().kv_heads = 0; },
        [](TinyModel& m) { m.header().head_dim = 513; },
        [](TinyModel& m) { m.header().head_dim = 0; },
        [](TinyModel& m) { m.header().rope_dims = 7; },
        [](TinyModel& m) { m.header().rope_dims = 14; },
        [](TinyModel& m) { m.header().vocab += 1; },
        [](TinyModel& m) { m.header().context += 1; },
        [](TinyModel& m) { m.header().context = 0; },
        [](TinyModel& m) { m.header().norm_eps = std::numeric_limits<float>::quiet_NaN(); },
        [](TinyModel& m) { m.header().norm_eps = -1; },
        [](TinyModel& m) { m.header().activation = shm::Activation{9}; },
        [](TinyModel& m) { m.header().pooling = shm::Pooling{2}; },
        [](TinyModel& m) { m.header().embedding_scale = 0; },
        [](TinyModel& m) { m.header().attention_scale = -1; },
        [](TinyModel& m) { m.header().logit_soft_cap = -1; },
        [](TinyModel& m) { m.header().sliding_window = 8; },  // and no pattern
        [](TinyModel& m) { m.header().end_id_count = 33; },
        [](TinyModel& m) { m.header().end_id_count = 1, m.header().end_ids[0] = 67; },
        [](TinyModel& m) { m.entry(TensorPart::kAttnQ, 1).offset += 1; },
        [](TinyModel& m) { m.entry(TensorPart::kAttnQ, 1).offset = UINT64_MAX - 63; },
        [](TinyModel& m) { m.entry(TensorPart::kAttnQ, 1).offset = m.segment().size(); },
        [](TinyModel& m) { m.entry(TensorPart::kAttnQ, 1).bytes -= 64; },
        [](TinyModel& m) { m.entry(TensorPart::kAttnQ, 1).rows += 1; },
        [](TinyModel& m) { m.entry(TensorPart::kAttnQ, 1).packing = shm::Packing::kF32; },
        [](TinyModel& m) { m.entry(TensorPart::kAttnQ, 1).packing = shm::Packing{9}; },
        [](TinyModel& m) { m.entry(TensorPart::kAttnQ, 1).packing = shm::Packing::kBlocks; },
        [](TinyModel& m) { m.entry(TensorPart::kAttnQ, 1).role = shm::TensorRole::kBias; },
        [](TinyModel& m) { m.entry(TensorPart::kAttnQ, 1).layer = 0; },
        [](TinyModel& m) {
            m.entry(TensorPart::kAttnQ, 1).scale = std::numeric_limits<float>::infinity();
        },
        [](TinyModel& m) { m.entry(TensorPart::kFfnNorm, 0).part = TensorPart{99}; },
        [](TinyModel& m) { m.entry(TensorPart::kRopeCosSin, shm::kNoLayer).columns = 4; },
    };
    for (size_t i = 0; i < mutations.size(); ++i) {
        TinyModel model({}, 1);
        ASSERT_TRUE(open_weights(model.segment()).ok());
        mutations[i](model);
        const auto view = open_weights(model.segment());
        ASSERT_FALSE(view.ok()) << "mutation " << i;
        EXPECT_FALSE(view.error().message.empty());
    }
}

TEST(WeightsView, RefusesASegmentCutOffAnywhere) {
    const TinyModel model({}, 1);
    for (size_t bytes : {size_t{0}, size_t{8}, sizeof(shm::WeightsHeader), size_t{1000},
                         model.segment().size() - 64}) {
        EXPECT_FALSE(open_weights(model.segment().first(bytes)).ok()) << bytes;
    }
}

}  // namespace
}  // namespace bitnetd::worker
