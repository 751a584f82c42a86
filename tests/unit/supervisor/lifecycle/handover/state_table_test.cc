// Goal: a successor reads what was written last; what is no state table, or was tampered with, is
// an error and never a wrong text.
// Method: tables through duplicated descriptors, as a successor has them; bytes changed by hand.
#include "supervisor/lifecycle/handover/state_table.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shm/segment/segment.h"

namespace bitnetd::supervisor {
namespace {

Fd duplicate(int fd) {
    return Fd(fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

std::string read_anew(const StateTable& table) {
    auto successor = StateTable::open(duplicate(table.fd()));
    if (!successor.ok()) return successor.error().message;
    auto text = successor->read();
    return text.ok() ? *text : text.error().message;
}

TEST(StateTable, SuccessorReadsTheLastText) {
    auto table = StateTable::create();
    ASSERT_TRUE(table.ok()) << table.error().message;
    EXPECT_EQ(table->read().error().code, ErrorCode::kNotFound);
    for (const std::string& text :
         {std::string("one"), std::string("a longer second"), std::string(), std::string("4")}) {
        ASSERT_TRUE(table->write(text).ok());
        EXPECT_EQ(*table->read(), text);
        EXPECT_EQ(read_anew(*table), text);
    }
    // The successor goes on where the first one stopped.
    auto successor = StateTable::open(duplicate(table->fd()));
    ASSERT_TRUE(successor.ok());
    ASSERT_TRUE(successor->write("from the successor").ok());
    EXPECT_EQ(read_anew(*table), "from the successor");
}

TEST(StateTable, TakesAsMuchAsItSaysAndNoMore) {
    auto table = StateTable::create();
    ASSERT_TRUE(table.ok());
    const std::string most(kStateTextBytesMax, 'm');
    ASSERT_TRUE(table->write(most).ok());
    ASSERT_TRUE(table->write(most + "").ok());
    const auto refused = table->write(most + "x");
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, ErrorCode::kExhausted);
    EXPECT_EQ(read_anew(*table), most);
}

// Whatever single byte of the newer copy is wrong, the older one counts.
TEST(StateTable, ADamagedCopyIsNotRead) {
    auto table = StateTable::create();
    ASSERT_TRUE(table.ok());
    ASSERT_TRUE(table->write("older").ok());  // the first copy
    ASSERT_TRUE(table->write("newer").ok());  // the second
    auto memory = shm::Segment::map(table->fd(), shm::Access::kReadWrite);
    ASSERT_TRUE(memory.ok());
    const size_t second_copy = memory->bytes() - (memory->bytes() - 4096) / 2;
    for (size_t i = 0; i < 32 + 5; ++i) {
        std::byte& byte = memory->mutable_data()[second_copy + i];
        const std::byte before = byte;
        byte = ~before;
        EXPECT_EQ(read_anew(*table), "older") << "byte " << i;
        byte = before;
    }
    EXPECT_EQ(read_anew(*table), "newer");
}

TEST(StateTable, OtherDescriptorsAreRefused) {
    Fd unsealed(memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    EXPECT_FALSE(StateTable::open(std::move(unsealed)).ok());
    Fd file(open("/dev/null", O_RDWR | O_CLOEXEC));
    EXPECT_FALSE(StateTable::open(std::move(file)).ok());
    auto small = shm::Segment::create_memfd("x", 4096);
    ASSERT_TRUE(small.ok() && shm::seal_size(small->get()).ok());
    auto opened = StateTable::open(std::move(*small));
    ASSERT_FALSE(opened.ok());
    EXPECT_NE(opened.error().message.find("4096 bytes"), std::string::npos);

    auto table = StateTable::create();
    ASSERT_TRUE(table.ok());
    auto memory = shm::Segment::map(table->fd(), shm::Access::kReadWrite);
    ASSERT_TRUE(memory.ok());
    memory->mutable_data()[8] = std::byte{9};  // the layout's version
    opened = StateTable::open(duplicate(table->fd()));
    ASSERT_FALSE(opened.ok());
    EXPECT_NE(opened.error().message.find("layout version 9"), std::string::npos);
    memory->mutable_data()[0] = std::byte{0};  // the magic number
    EXPECT_FALSE(StateTable::open(duplicate(table->fd())).ok());
}

}  // namespace
}  // namespace bitnetd::supervisor
