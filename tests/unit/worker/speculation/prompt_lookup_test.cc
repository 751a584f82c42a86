// Goal: a guess is what followed the longest, then latest, earlier occurrence of the sequence's
// end, and nothing outside of the room for it is written. Method: small cases by hand; random
// sequences of few ids against the definition, tried directly.
#include "worker/speculation/prompt_lookup.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <random>

namespace bitnetd::worker {
namespace {

constexpr uint32_t kUntouched = 0xdeadbeef;

using Ids = std::vector<uint32_t>;

Ids guess(Ids ids, uint32_t wanted) {
    const auto id_count = static_cast<uint32_t>(ids.size());
    ids.resize(id_count + wanted + 3, kUntouched);
    const Ids before = ids;
    const uint32_t count = guess_by_lookup(ids, id_count, wanted);
    EXPECT_TRUE(count == 0 || count == wanted);
    EXPECT_TRUE(std::equal(ids.begin(), ids.begin() + id_count, before.begin()));
    for (size_t i = id_count + count; i < ids.size(); ++i)
        EXPECT_EQ(ids[i], kUntouched);
    return {ids.begin() + id_count, ids.begin() + id_count + count};
}

TEST(PromptLookup, GoesOnAsBefore) {
    EXPECT_EQ(guess({1, 2, 3, 4, 5, 6, 1, 2}, 3), (Ids{3, 4, 5}));
}

TEST(PromptLookup, TwoIdsMustHaveOccurredBefore) {
    EXPECT_EQ(guess({1, 2, 3, 9, 2}, 3), Ids());
    EXPECT_EQ(guess({2, 1, 3, 1, 2}, 3), Ids());
    EXPECT_EQ(guess({7, 7}, 3), Ids());
    EXPECT_EQ(guess({7}, 3), Ids());
    EXPECT_EQ(guess({}, 3), Ids());
}

TEST(PromptLookup, PrefersTheLongestThenTheLatest) {
    EXPECT_EQ(guess({5, 1, 2, 50, 9, 1, 2, 90, 5, 1, 2}, 1), (Ids{50}));
    EXPECT_EQ(guess({5, 1, 2, 50, 5, 1, 2, 90, 5, 1, 2}, 1), (Ids{90}));
}

TEST(PromptLookup, GoesRoundInALoop) {
    EXPECT_EQ(guess({4, 4, 4}, 5), (Ids{4, 4, 4, 4, 4}));
    EXPECT_EQ(guess({1, 2, 3, 1, 2, 3, 1}, 6), (Ids{2, 3, 1, 2, 3, 1}));
}

TEST(PromptLookup, GuessesNothingWithoutRoom) {
    EXPECT_EQ(guess({1, 2, 3, 1, 2}, 0), Ids());
}

TEST(PromptLookup, LooksBackNoFurtherThanItsWindow) {
    const auto with_gap = [](uint32_t gap) {
        Ids ids = {1, 2, 3};
        for (uint32_t i = 0; i < gap; ++i)
            ids.push_back(10 + i);
        ids.push_back(1);
        ids.push_back(2);
        return ids;
    };
    EXPECT_EQ(guess(with_gap(kLookupWindow - 5), 1), (Ids{3}));
    EXPECT_EQ(guess(with_gap(kLookupWindow - 4), 1), Ids());
}

// The definition: by length from the longest, by place from the latest.
Ids by_definition(const Ids& ids, uint32_t wanted) {
    const auto n = static_cast<uint32_t>(ids.size());
    for (uint32_t length = kRepeatedMax; length >= kRepeatedMin; --length) {
        for (uint32_t end = n - 1; n > 0 && end >= length && end < n; --end) {
            if (!std::equal(ids.end() - length, ids.end(), ids.begin() + (end - length))) continue;
            Ids all = ids;
            for (uint32_t i = 0; i < wanted; ++i)
                all.push_back(all[end + i]);
            return {all.begin() + n, all.end()};
        }
    }
    return {};
}

TEST(PromptLookup, RandomSequencesAgainstTheDefinition) {
    const char* replay = std::getenv("BITNETD_SEED");
    const uint64_t seed = replay != nullptr ? std::strtoull(replay, nullptr, 10) : 1;
    std::printf("BITNETD_SEED=%lu\n", seed);
    std::mt19937_64 random(seed);
    uint32_t found = 0;
    for (int i = 0; i < 3000; ++i) {
        Ids ids(random() % 60);
        const uint64_t vocab = 1 + random() % 6;
        for (uint32_t& id : ids)
            id = static_cast<uint32_t>(random() % vocab);
        const auto wanted = static_cast<uint32_t>(random() % 12);
        const Ids expected = by_definition(ids, wanted);
        ASSERT_EQ(guess(ids, wanted), expected) << "case " << i;
        found += expected.empty() ? 0 : 1;
    }
    EXPECT_GT(found, 1000u);
}

}  // namespace
}  // namespace bitnetd::worker
