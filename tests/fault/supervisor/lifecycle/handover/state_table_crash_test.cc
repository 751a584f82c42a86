// Goal: a supervisor that dies at any point of a write leaves a state that its successor can read:
// the one before, or the new one whole.
// Method: a child is killed at each label, while it writes over the older and over the newer copy;
// the test, as its successor, reads and writes on.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/crash_point.h"
#include "supervisor/lifecycle/handover/state_table.h"

namespace bitnetd::supervisor {
namespace {

struct Case {
    const char* label;
    bool new_counts;  // whether the text that was being written is the one that is read
};

const Case kCases[] = {
    {"state.half_copied", false}, {"state.copied", false}, {"state.written", true}};

std::string text_of(int number) {
    return "state " + std::to_string(number) + std::string(static_cast<size_t>(number) * 7, '.');
}

// Writes texts 1 .. `writes`, dies at the label in the last one.
void write_and_die(StateTable& table, const char* label, int writes) {
    const pid_t pid = fork();
    if (pid == 0) {
        for (int i = 1; i <= writes; ++i) {
            if (i == writes) crash_at(label);
            if (!table.write(text_of(i)).ok()) _exit(1);
        }
        _exit(2);
    }
    int status = 0;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        << "it did not die at " << label;
}

TEST(StateTableCrash, TheOlderStateOrTheNewOneWhole) {
    if (!kCrashPointsCompiled) GTEST_SKIP() << "crash points are not compiled in";
    for (const Case& it : kCases) {
        for (int writes = 1; writes <= 4; ++writes) {
            SCOPED_TRACE(std::string(it.label) + " in write " + std::to_string(writes));
            auto table = StateTable::create();
            ASSERT_TRUE(table.ok());
            write_and_die(*table, it.label, writes);
            auto text = table->read();
            const int expected = it.new_counts ? writes : writes - 1;
            if (expected == 0) {
                EXPECT_FALSE(text.ok());
            } else {
                ASSERT_TRUE(text.ok()) << text.error().message;
                EXPECT_EQ(*text, text_of(expected));
            }
            ASSERT_TRUE(table->write("the successor's").ok());
            EXPECT_EQ(*table->read(), "the successor's");
        }
    }
}

}  // namespace
}  // namespace bitnetd::supervisor
