// Goal: the book keeps the last word on the newest rollouts, and only rollouts' own names find
// them. Method: rollouts with a number and little else.
#include "supervisor/frontend/api/rollout_book.h"

#include <gtest/gtest.h>

#include <vector>

#include "shm/control/text_field.h"

namespace bitnetd::frontend {
namespace {

shm::RolloutMessage rollout(uint64_t number, std::string_view model = "tiny") {
    shm::RolloutMessage message{};
    message.number = number;
    shm::set_field(message.model, model);
    return message;
}

TEST(RolloutBook, TheLastWordCounts) {
    RolloutBook book;
    EXPECT_EQ(book.find(1), nullptr);
    book.put(rollout(1));
    shm::RolloutMessage moved = rollout(1);
    moved.progress_permille = 500;
    book.put(moved);
    ASSERT_NE(book.find(1), nullptr);
    EXPECT_EQ(book.find(1)->progress_permille, 500u);
    EXPECT_EQ(book.newest_first().size(), 1u);
}

TEST(RolloutBook, KeepsTheNewest) {
    RolloutBook book;
    const uint64_t count = RolloutBook::kKeptMax + 10;
    for (uint64_t number = count; number > 0; --number)  // the oldest come last, and are not kept
        book.put(rollout(number));
    EXPECT_EQ(book.newest_first().size(), RolloutBook::kKeptMax);
    EXPECT_EQ(book.newest_first().begin()->first, count);
    EXPECT_EQ(book.find(10), nullptr);
    EXPECT_NE(book.find(11), nullptr);
    book.put(rollout(count + 1));
    EXPECT_EQ(book.find(11), nullptr);
    EXPECT_EQ(book.newest_first().size(), RolloutBook::kKeptMax);
}

TEST(RolloutBook, TheNewestOfAModel) {
    RolloutBook book;
    book.put(rollout(3, "a"));
    book.put(rollout(1, "a"));
    book.put(rollout(2, "b"));
    ASSERT_NE(book.find_model("a"), nullptr);
    EXPECT_EQ(book.find_model("a")->number, 3u);
    EXPECT_EQ(book.find_model("b")->number, 2u);
    EXPECT_EQ(book.find_model("c"), nullptr);
}

TEST(RolloutBook, Names) {
    EXPECT_EQ(rollout_name(7), "rollout-7");
    EXPECT_EQ(rollout_number("rollout-7"), 7u);
    EXPECT_EQ(rollout_number("rollout-18446744073709551615"), UINT64_MAX);
    for (const char* name : {"", "7", "rollout-", "rollout--7", "rollout-+7", "rollout-07",
                             "rollout-7 ", "Rollout-7", "rollout-18446744073709551616"}) {
        EXPECT_EQ(rollout_number(name), std::nullopt) << name;
    }
}

}  // namespace
}  // namespace bitnetd::frontend
