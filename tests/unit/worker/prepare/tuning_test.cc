// Goal: what was measured for a kernel table lies in the header of the packed weights, where the
// worker finds it, and the rest of the segment is as it was. Method: the demo model, and a table
// with two ways that are one.
#include "worker/prepare/tuning.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "shm/abi/weights_abi.h"
#include "shm/control/text_field.h"
#include "tests/support/golden.h"
#include "tests/support/worker/packed_model.h"
#include "worker/kernels/tables.h"
#include "worker/model/ternary_choice.h"

namespace bitnetd::worker {
namespace {

TEST(Tuning, IsWrittenToTheHeaderAndNowhereElse) {
    const test::PackedModel demo(
        {tests::golden_path("demo-model/bitnet-tiny-stories-5m-i2_s.gguf")});
    AlignedArray<std::byte> segment(demo.segment().size());
    std::ranges::copy(demo.segment(), segment.data());
    kernels::KernelTable table = kernels::reference::kTable;
    table.name = "twice";
    table.ternary_ways[1] = {"again", table.ternary_gemm, 4};
    ASSERT_TRUE(write_tuning(segment.span(), table).ok());

    shm::WeightsHeader header;
    std::memcpy(&header, segment.data(), sizeof header);
    EXPECT_EQ(shm::field_text(header.tuning.kernel_isa), "twice");
    EXPECT_EQ(header.tuning.rows_from[0], 1u);
    EXPECT_GE(header.tuning.rows_from[1], 1u);
    EXPECT_EQ(TernaryChoice(table, header.tuning).text(),
              "plain 1, again " + std::to_string(header.tuning.rows_from[1]));

    header.tuning = {};
    std::memcpy(segment.data(), &header, sizeof header);
    EXPECT_TRUE(std::ranges::equal(segment.span(), demo.segment()));
}

}  // namespace
}  // namespace bitnetd::worker
