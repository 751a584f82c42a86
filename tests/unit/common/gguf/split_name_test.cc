// Goal: the names of the parts of a split file are recognised and made, and nothing else is taken
// for one.
// Method: names that are, and names that are wrong in one place.
#include "common/gguf/split_name.h"

#include <gtest/gtest.h>

namespace bitnetd::gguf {
namespace {

TEST(SplitName, IsReadAndMade) {
    const auto split = parse_split_name("llama-3.2-1b-00002-of-00003.gguf");
    ASSERT_TRUE(split.has_value());
    EXPECT_EQ(split->prefix, "llama-3.2-1b");
    EXPECT_EQ(split->number, 2u);
    EXPECT_EQ(split->count, 3u);
    EXPECT_EQ(part_name("llama-3.2-1b", 2, 3), "llama-3.2-1b-00002-of-00003.gguf");
    EXPECT_TRUE(parse_split_name(part_name("x", 1, 1)).has_value());
    EXPECT_TRUE(parse_split_name(part_name("x", 99'999, 99'999)).has_value());
    EXPECT_EQ(parse_split_name("a-00001-of-00002-00001-of-00004.gguf")->prefix, "a-00001-of-00002");
}

TEST(SplitName, NothingElseIsTakenForOne) {
    for (const char* name :
         {"", "model.gguf", "-00001-of-00002.gguf", "m-00001-of-00002.ggu", "m-0001-of-00002.gguf",
          "m-00001-of-0002.gguf", "m-00000-of-00002.gguf", "m-00003-of-00002.gguf",
          "m-00001-of-00000.gguf", "m-0000x-of-00002.gguf", "m00001-of-00002.gguf",
          "m-00001of-00002.gguf", "m-00001-of-00002.gguf.gguf", "m-+0001-of-00002.gguf"}) {
        EXPECT_FALSE(parse_split_name(name).has_value()) << name;
    }
}

}  // namespace
}  // namespace bitnetd::gguf
