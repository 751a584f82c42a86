// Goal: progress is right, fits the line, and is silent about short work.
// Method: the text for given bytes and times; the line written to a file with a made-up clock.
#include "supervisor/ctl/progress_line.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <memory>

#include "common/base/clock.h"

namespace bitnetd::supervisor {
namespace {

constexpr uint64_t kMB = 1'000'000;

struct CloseFile {
    void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

std::string contents(std::FILE* file) {
    std::string text(4096, '\0');
    std::rewind(file);
    text.resize(std::fread(text.data(), 1, text.size(), file));
    return text;
}

TEST(ProgressText, SaysShareRateAndTimeLeft) {
    EXPECT_EQ(progress_text({"convert", 25 * kMB, 100 * kMB}, 5 * kNsPerS, 0),
              "convert  25 %  5 MB/s  0:15 left");
    EXPECT_EQ(progress_text({"verify", 1, 7201}, kNsPerS, 0), "verify   0 %  1 B/s  2:00:00 left");
    EXPECT_EQ(progress_text({"verify", 0, 100}, 0, 0), "verify   0 %");
    EXPECT_EQ(progress_text({"verify", 200, 100}, 2 * kNsPerS, 0),
              "verify 100 %  100 B/s  0:00 left");
}

TEST(ProgressText, FitsTheWidth) {
    const Progress half{"convert", 50 * kMB, 100 * kMB};
    for (size_t width = 1; width < 200; ++width) {
        EXPECT_LE(progress_text(half, kNsPerS, width).size(), width);
    }
    EXPECT_EQ(progress_text(half, kNsPerS, 200),
              "convert  50 % [####################                    ]  50 MB/s  0:01 left");
}

TEST(ProgressLine, OnATerminalIsRedrawnAndTakenAway) {
    const File file(std::tmpfile());
    {
        ProgressLine line(file.get(), 80, 0);
        line.show({"convert", 1, 2}, 400 * kNsPerMs);
        EXPECT_EQ(contents(file.get()), "");
        line.show({"convert", 1, 2}, 600 * kNsPerMs);
        line.show({"convert", 2, 2}, 650 * kNsPerMs);  // too soon after the last
    }
    const std::string written = contents(file.get());
    EXPECT_TRUE(written.starts_with("\rconvert  50 % ["));
    EXPECT_TRUE(written.ends_with("\x1b[K\r\x1b[K"));
    EXPECT_EQ(written.find("100 %"), std::string::npos);
}

TEST(ProgressLine, WithoutATerminalIsALineNowAndThen) {
    const File file(std::tmpfile());
    {
        ProgressLine line(file.get(), 0, 0);
        line.show({"convert", 1, 4}, 4 * kNsPerS);
        line.show({"convert", 2, 4}, 5 * kNsPerS);
        line.show({"convert", 3, 4}, 9 * kNsPerS);
    }
    EXPECT_EQ(contents(file.get()), "convert  50 %  2 B/s  0:01 left\n");
}

}  // namespace
}  // namespace bitnetd::supervisor
