// Goal: the last four dead incarnations stay readable, older ones are let go.
// Method: more burials than the archive holds.
#include "supervisor/lifecycle/process/segment_archive.h"

#include <fcntl.h>
#include <gtest/gtest.h>

namespace bitnetd::supervisor {
namespace {

TEST(SegmentArchive, KeepsTheLastFour) {
    SegmentArchive archive;
    for (uint64_t incarnation = 1; incarnation <= 7; ++incarnation) {
        std::vector<InspectEntry> entries;
        entries.push_back({inspect_item(incarnation, InspectKind::kBoard, false, "worker/0"),
                           Fd(open("/dev/null", O_RDONLY | O_CLOEXEC))});
        archive.keep(std::move(entries));
    }
    for (int listing = 0; listing < 2; ++listing) {  // listing hands out copies
        std::vector<InspectEntry> entries;
        archive.list(entries);
        ASSERT_EQ(entries.size(), kArchivedIncarnationsMax);
        EXPECT_EQ(entries.front().item.incarnation, 4u);
        EXPECT_EQ(entries.back().item.incarnation, 7u);
        EXPECT_GE(fcntl(entries.front().fd.get(), F_GETFD), 0);
    }
}

}  // namespace
}  // namespace bitnetd::supervisor
