// Goal: systemd's store always holds what the state table names, and nothing for ever that it no
// longer names. Method: a stand-in for systemd's socket records what is stored and removed; a
// successor is made of it.
#include "supervisor/lifecycle/handover/estate.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <map>
#include <set>

#include "tests/unit/supervisor/lifecycle/handover/notify_socket.h"

namespace bitnetd::supervisor {
namespace {

Fd memory(const char* name) {
    return Fd(memfd_create(name, MFD_CLOEXEC));
}

class EstateTest : public testing::Test {
  protected:
    // Takes in what was sent.
    void read_store() {
        while (socket_.has_message()) {
            Notification sent = socket_.receive();
            const std::string name = sent.value("FDNAME");
            if (sent.value("FDSTORE") == "1") {
                for (Fd& fd : sent.fds)
                    kept_[name] = std::move(fd);
                order_.push_back("+" + name);
            } else if (sent.value("FDSTOREREMOVE") == "1") {
                kept_.erase(name);
                order_.push_back("-" + name);
            }
        }
    }
    std::set<std::string> names() {
        read_store();
        std::set<std::string> all;
        for (const auto& [name, fd] : kept_)
            all.insert(name);
        return all;
    }
    Estate make() {
        auto table = StateTable::create();
        EXPECT_TRUE(table.ok());
        return Estate(FdStore::from_environment(), std::move(*table));
    }

    NotifySocket socket_;
    Environment limit_{"BITNETD_FD_STORE", "64"};
    std::map<std::string, Fd> kept_;
    std::vector<std::string> order_;
};

TEST_F(EstateTest, StoresBeforeItNamesAndRemovesAfterwards) {
    Estate estate = make();
    ASSERT_TRUE(estate.outlives_us());
    const Fd one = memory("one");
    const Fd two = memory("two");
    SupervisorSnapshot snapshot;
    ASSERT_TRUE(estate.save(snapshot, {{"p2.board", one.get()}}).ok());
    EXPECT_EQ(names(), (std::set<std::string>{"state", "p2.board"}));
    ASSERT_TRUE(estate.save(snapshot, {{"p3.board", two.get()}}).ok());
    EXPECT_EQ(names(), (std::set<std::string>{"state", "p3.board"}));
    EXPECT_EQ(order_, (std::vector<std::string>{"+state", "+p2.board", "+p3.board", "-p2.board"}));
    // What is stored already is not sent again.
    ASSERT_TRUE(estate.save(snapshot, {{"p3.board", two.get()}}).ok());
    EXPECT_FALSE(socket_.has_message());
}

TEST_F(EstateTest, AnOrderlyEndLeavesNothingAndTheTableGoesFirst) {
    Estate estate = make();
    const Fd one = memory("one");
    ASSERT_TRUE(estate.save({}, {{"a1.board", one.get()}}).ok());
    EXPECT_EQ(names(), (std::set<std::string>{"a1.board", "state"}));
    ASSERT_TRUE(estate.leave_nothing().ok());
    EXPECT_TRUE(names().empty());
    EXPECT_EQ(order_, (std::vector<std::string>{"+state", "+a1.board", "-state", "-a1.board"}));
}

TEST_F(EstateTest, NameThatIsGivenAgainNamesTheNewDescriptor) {
    Estate estate = make();
    const Fd first = memory("first");
    const Fd second = memory("second");
    ASSERT_TRUE(estate.save({}, {{"kv0", first.get()}}).ok());
    ASSERT_TRUE(estate.save({}, {{"kv0", second.get()}}).ok());
    read_store();
    EXPECT_EQ(order_, (std::vector<std::string>{"+state", "+kv0", "-kv0", "+kv0"}));
}

// Of a predecessor that died between storing and writing: its names will be given again.
TEST_F(EstateTest, WhatNobodyClaimsLeavesBeforeAnythingIsStored) {
    Estate estate = make();
    const Fd used = memory("used");
    estate.note_stored({{"kv0", used.get()}});
    estate.drop_unclaimed({"p29.pidfd", "kv0"});
    ASSERT_TRUE(estate.save({}, {{"kv0", used.get()}}).ok());
    read_store();
    EXPECT_EQ(order_, (std::vector<std::string>{"-p29.pidfd", "-kv0", "+state", "+kv0"}));
}

TEST_F(EstateTest, WithoutAStoreNothingIsSent) {
    unsetenv("BITNETD_FD_STORE");
    Estate estate = make();
    EXPECT_FALSE(estate.outlives_us());
    const Fd one = memory("one");
    EXPECT_TRUE(estate.save({}, {{"p2.board", one.get()}}).ok());
    EXPECT_FALSE(socket_.has_message());
}

TEST_F(EstateTest, SuccessorReadsWhatWasSavedLast) {
    Estate estate = make();
    SupervisorSnapshot snapshot;
    snapshot.build = "1.2.3";
    snapshot.next_incarnation = 42;
    ASSERT_TRUE(estate.save(snapshot, {}).ok());
    read_store();
    auto table = StateTable::open(std::move(kept_.at("state")));
    ASSERT_TRUE(table.ok()) << table.error().message;
    const auto text = table->read();
    ASSERT_TRUE(text.ok());
    const auto read = parse_snapshot(*text);
    ASSERT_TRUE(read.ok()) << read.error().message;
    EXPECT_EQ(read->build, "1.2.3");
    EXPECT_EQ(read->next_incarnation, 42u);
}

}  // namespace
}  // namespace bitnetd::supervisor
