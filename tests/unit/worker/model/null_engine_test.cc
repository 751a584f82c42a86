// Goal: the null engine's tokens depend on the position only and never end a generation.
// Method: vocabularies with end ids in the way, and one with nothing else.
#include "worker/model/null_engine.h"

#include <gtest/gtest.h>

namespace bitnetd::worker {
namespace {

uint32_t token_at(NullEngine& engine, uint32_t position) {
    const Row row{0, position, nullptr};
    const SamplingParams params;
    Drawn drawn;
    const Draw draw{0, false, 0, &params, {}, &drawn};
    engine.step({&row, 1}, {&draw, 1});
    EXPECT_TRUE(drawn.valid);
    return drawn.token;
}

TEST(NullEngine, NeverEndsAndDependsOnThePositionOnly) {
    const std::vector<uint32_t> ends = {0, 5, 99};
    NullEngine engine(100, 4, ends, 0);
    for (uint32_t position = 0; position < 300; ++position) {
        const uint32_t token = token_at(engine, position);
        EXPECT_EQ(token, token_at(engine, position));
        EXPECT_LT(token, 97u);
        EXPECT_EQ(std::count(ends.begin(), ends.end(), token), 0);
    }
    EXPECT_NE(token_at(engine, 7), token_at(engine, 8));
}

TEST(NullEngine, SmallVocabularies) {
    NullEngine tiny(3, 4, std::vector<uint32_t>{1}, 0);
    EXPECT_NE(token_at(tiny, 1), 1u);
    NullEngine only_ends(1, 4, std::vector<uint32_t>{0}, 0);
    EXPECT_EQ(token_at(only_ends, 4), 0u);
}

}  // namespace
}  // namespace bitnetd::worker
