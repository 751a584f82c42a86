// Goal: a loader's numbers are believed only when they are possible and its segments are as it
// says. Method: one lie at a time on top of good facts and really sealed segments.
#include "supervisor/lifecycle/model/model_facts_check.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "shm/control/text_field.h"
#include "shm/segment/segment.h"

namespace bitnetd::supervisor {
namespace {

constexpr uint64_t kWeightsBytes = 4096;
constexpr uint64_t kFileBytes = 100;

Fd sealed(uint64_t bytes) {
    auto fd = shm::Segment::create_memfd("test", bytes);
    EXPECT_TRUE(fd.ok() && shm::seal_weights(fd->get()).ok());
    return std::move(*fd);
}

shm::ModelFacts good() {
    shm::ModelFacts facts{};
    facts.weights_bytes = kWeightsBytes;
    facts.file_bytes = kFileBytes;
    facts.context = 64;
    facts.vocab = 256;
    facts.hidden = 32;
    facts.layers = 2;
    facts.kv_heads = 2;
    facts.head_dim = 8;
    shm::set_field(facts.name, "demo");
    facts.accuracy_count = 2;
    facts.accuracy[0] = {"F16", 1};
    facts.accuracy[1] = {"I2_S", 0.9997f};
    return facts;
}

TEST(ModelFactsCheck, GoodOnes) {
    const Fd weights = sealed(kWeightsBytes);
    const Fd vocabulary = sealed(128);
    const auto checked = check_model_facts(good(), kFileBytes, weights.get(), vocabulary.get());
    EXPECT_TRUE(checked.ok()) << checked.error().message;
}

TEST(ModelFactsCheck, ImpossibleNumbersAndTexts) {
    const Fd weights = sealed(kWeightsBytes);
    const Fd vocabulary = sealed(128);
    const auto refused = [&](auto&& lie) {
        shm::ModelFacts facts = good();
        lie(facts);
        return !check_model_facts(facts, kFileBytes, weights.get(), vocabulary.get()).ok();
    };
    EXPECT_TRUE(refused([](auto& f) { f.layers = 0; }));
    EXPECT_TRUE(refused([](auto& f) { f.layers = 513; }));
    EXPECT_TRUE(refused([](auto& f) { f.head_dim = 100'000; }));
    EXPECT_TRUE(refused([](auto& f) { f.pooling = shm::Pooling{2}; }));
    EXPECT_TRUE(refused([](auto& f) { f.kv_heads = UINT32_MAX; }));
    EXPECT_TRUE(refused([](auto& f) { f.context = UINT32_MAX; }));
    EXPECT_TRUE(refused([](auto& f) { f.vocab = 0; }));
    EXPECT_TRUE(refused([](auto& f) { f.file_bytes = 1; }));
    EXPECT_TRUE(refused([](auto& f) { f.weights_bytes = kWeightsBytes * 2; }));
    EXPECT_TRUE(refused([](auto& f) { std::memset(f.name, 'x', sizeof f.name); }));
    EXPECT_TRUE(refused([](auto& f) { shm::set_field(f.digest, "a\nb"); }));
    EXPECT_TRUE(refused([](auto& f) { shm::set_field(f.quantization, "I2_S\x7f"); }));
    EXPECT_TRUE(refused([](auto& f) { shm::set_field(f.quantization, "I2_\xE2"); }));
    EXPECT_TRUE(refused([](auto& f) { shm::set_field(f.architecture, "\xC3\xA9"); }));
    EXPECT_TRUE(refused([](auto& f) { f.accuracy_count = 0; }));
    EXPECT_TRUE(refused([](auto& f) { f.accuracy_count = shm::kModelTypesMax + 1; }));
    EXPECT_TRUE(refused([](auto& f) { f.accuracy[1].ratio = 1.5f; }));
    EXPECT_TRUE(refused([](auto& f) { f.accuracy[1].ratio = NAN; }));
    EXPECT_TRUE(refused([](auto& f) { std::memset(f.accuracy[0].type, 'x', 12); }));
    EXPECT_TRUE(refused([](auto& f) { f.cross_validation = -0.1f; }));
    EXPECT_TRUE(refused([](auto& f) { f.cross_validation = NAN; }));
}

TEST(ModelFactsCheck, SegmentsMustBeSealedAndHaveTheirSize) {
    const Fd weights = sealed(kWeightsBytes);
    const Fd vocabulary = sealed(128);
    auto open_fd = shm::Segment::create_memfd("test", kWeightsBytes);
    ASSERT_TRUE(open_fd.ok());
    const Fd tiny = sealed(1);
    EXPECT_FALSE(check_model_facts(good(), kFileBytes, open_fd->get(), vocabulary.get()).ok());
    EXPECT_FALSE(check_model_facts(good(), kFileBytes, weights.get(), open_fd->get()).ok());
    EXPECT_FALSE(check_model_facts(good(), kFileBytes, weights.get(), tiny.get()).ok());
    ASSERT_TRUE(shm::seal_size(open_fd->get()).ok());  // not against writing
    EXPECT_FALSE(check_model_facts(good(), kFileBytes, open_fd->get(), vocabulary.get()).ok());
}

}  // namespace
}  // namespace bitnetd::supervisor
