// Goal: what changes while a process runs: the level, and where its lines go.
// Method: standard error is a pipe or a file of the test; what arrives there is read back.
#include "common/log/log.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <regex>
#include <string>

#include "common/base/fd.h"

namespace bitnetd::log {
namespace {

// Standard error as it was comes back at the end.
class LogTest : public testing::Test {
  protected:
    LogTest() : before_(dup(STDERR_FILENO)) {}
    ~LogTest() override {
        EXPECT_TRUE(reopen(before_.get()).ok());
        set_level(Level::kInfo);
    }
    static Fd make_file() { return Fd(memfd_create("log", MFD_CLOEXEC)); }
    static std::string content(const Fd& file) {
        char text[4096];
        const ssize_t bytes = pread(file.get(), text, sizeof text, 0);
        return {text, bytes > 0 ? static_cast<size_t>(bytes) : 0};
    }
    static size_t count(const std::string& text, std::string_view word) {
        size_t found = 0;
        for (size_t at = text.find(word); at != text.npos; at = text.find(word, at + 1))
            ++found;
        return found;
    }

  private:
    Fd before_;
};

TEST_F(LogTest, LinesGoToTheNewFile) {
    const Fd first = make_file();
    const Fd second = make_file();
    ASSERT_TRUE(reopen(first.get()).ok());
    init("test", Level::kInfo, Format::kJson);
    info("before");
    ASSERT_TRUE(reopen(second.get()).ok());
    info("after");
    EXPECT_EQ(count(content(first), "before"), 1u);
    EXPECT_EQ(count(content(first), "after"), 0u);
    EXPECT_EQ(count(content(second), "after"), 1u);
    EXPECT_FALSE(reopen(-1).ok());
    info("still");
    EXPECT_EQ(count(content(second), "still"), 1u) << "a failure changes nothing";
}

// In UTC, as in JSON: which day it was is not lost with the file's name.
TEST_F(LogTest, TextInAFileHasTheDate) {
    const Fd file = make_file();
    ASSERT_TRUE(reopen(file.get()).ok());
    init("test", Level::kInfo, Format::kText);
    info("told", {{"number", 7}});
    const std::regex line(
        "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\\.[0-9]{3}Z info    test event=told number=7\n");
    EXPECT_TRUE(std::regex_match(content(file), line)) << content(file);
}

TEST_F(LogTest, TheLevelHasAName) {
    const Fd file = make_file();
    ASSERT_TRUE(reopen(file.get()).ok());
    init("test", Level::kInfo, Format::kText);
    debug("hidden");
    EXPECT_TRUE(set_level("debug"));
    debug("shown");
    EXPECT_TRUE(set_level("error"));
    warn("hidden");
    EXPECT_FALSE(set_level("loud"));
    EXPECT_FALSE(set_level(""));
    warn("hidden");
    EXPECT_EQ(count(content(file), "shown"), 1u);
    EXPECT_EQ(count(content(file), "hidden"), 0u);
}

}  // namespace
}  // namespace bitnetd::log
