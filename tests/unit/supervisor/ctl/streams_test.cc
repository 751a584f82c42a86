// Goal: what goes in and out of a task is whole, bounded, and cannot speak to a terminal.
// Method: pipes, with all of a text and with too much of it; memfds of hostile bytes.
#include "supervisor/ctl/streams.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace bitnetd::supervisor {
namespace {

// A pipe's reading end that has `text` and then ends. At most what a pipe holds.
Fd pipe_with(const std::string& text) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return {};
    const Fd writing(ends[1]);
    EXPECT_EQ(write(writing.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
    return Fd(ends[0]);
}

std::string all_of(int fd) {
    std::string text(1u << 20, '\0');
    const ssize_t got = pread(fd, text.data(), text.size(), 0);
    text.resize(got < 0 ? 0 : static_cast<size_t>(got));
    return text;
}

std::string printed(const std::string& bytes, Printing printing) {
    const auto from = make_memfd("from");
    const auto to = make_memfd("to");
    EXPECT_TRUE(from.ok() && to.ok());
    EXPECT_EQ(write(from->get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    EXPECT_TRUE(print_memfd(from->get(), to->get(), printing).ok());
    return all_of(to->get());
}

TEST(Streams, InputIsTakenWhole) {
    std::string text;
    for (int i = 0; i < 60'000; ++i)
        text += static_cast<char>(i % 251);
    const auto memory = read_to_memfd(pipe_with(text).get(), "a pipe", text.size());
    ASSERT_TRUE(memory.ok()) << memory.error().message;
    EXPECT_EQ(all_of(memory->get()), text);
}

TEST(Streams, InputIsBounded) {
    const auto memory = read_to_memfd(pipe_with("123456").get(), "standard input", 5);
    ASSERT_FALSE(memory.ok());
    EXPECT_EQ(memory.error().message, "standard input is longer than 5 bytes");
}

TEST(Streams, InputThatCannotBeReadIsAnError) {
    EXPECT_FALSE(read_to_memfd(-1, "nothing", 5).ok());
}

TEST(Streams, OutputIsExactOrPrintable) {
    const std::string bytes("a\x1b[2J\r\n\xc2\x9b~\0\x7f", 12);
    EXPECT_EQ(printed(bytes, Printing::kExact), bytes);
    EXPECT_EQ(printed(bytes, Printing::kPrintable), "a?[2J?\n??~??");
    const std::string large(300'000, 'x');
    EXPECT_EQ(printed(large, Printing::kPrintable), large);
}

TEST(Streams, AFullOutputIsAnError) {
    const auto from = make_memfd("from");
    ASSERT_TRUE(from.ok());
    ASSERT_EQ(write(from->get(), "text", 4), 4);
    const Fd full(open("/dev/full", O_WRONLY | O_CLOEXEC));
    const auto result = print_memfd(from->get(), full.get(), Printing::kExact);
    ASSERT_FALSE(result.ok());
    EXPECT_NE(result.error().message.find("No space left"), std::string::npos);
}

}  // namespace
}  // namespace bitnetd::supervisor
