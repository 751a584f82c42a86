// Goal: AMX is used only where the CPU has it, the system saves its tiles and Linux has said yes;
//       otherwise the reason is known.
// Method: judge_amx() with facts made up; request_amx() must agree with the tables in use.
#include "worker/kernels/amx_permission.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "worker/kernels/dispatch.h"

namespace bitnetd::kernels {
namespace {

constexpr uint32_t kTiles = 1u << 24;
constexpr uint32_t kInt8 = 1u << 25;
constexpr uint64_t kAvx512 = 0xe7;
constexpr uint64_t kSaved = kAvx512 | 1u << 17 | 1u << 18;

int asked = 0;

int yes() {
    ++asked;
    return 0;
}
int no_room() {
    ++asked;
    return ENOSPC;
}

TEST(AmxPermission, IsGivenWhenAllAgree) {
    const AmxAnswer answer = judge_amx({kTiles | kInt8, kSaved, yes});
    EXPECT_TRUE(answer.has_instructions);
    EXPECT_TRUE(answer.is_usable);
    EXPECT_EQ(answer.reason, "");
}

TEST(AmxPermission, IsNotAskedForWithoutTheInstructions) {
    asked = 0;
    for (const uint32_t edx : {0u, kTiles, kInt8, ~(kTiles | kInt8)}) {
        const AmxAnswer answer = judge_amx({edx, kSaved, yes});
        EXPECT_FALSE(answer.has_instructions);
        EXPECT_FALSE(answer.is_usable);
        EXPECT_EQ(answer.reason, "the CPU has no AMX-INT8");
    }
    EXPECT_EQ(asked, 0);
}

TEST(AmxPermission, IsNotAskedForWhenTilesAreNotSaved) {
    asked = 0;
    for (const uint64_t xcr0 : {uint64_t{0}, kAvx512, kAvx512 | 1u << 17, kAvx512 | 1u << 18}) {
        const AmxAnswer answer = judge_amx({kTiles | kInt8, xcr0, yes});
        EXPECT_TRUE(answer.has_instructions);
        EXPECT_FALSE(answer.is_usable);
        EXPECT_NE(answer.reason.find("XCR0"), std::string::npos) << answer.reason;
    }
    EXPECT_EQ(asked, 0);
}

TEST(AmxPermission, SaysWhyLinuxRefused) {
    asked = 0;
    const AmxAnswer answer = judge_amx({kTiles | kInt8, kSaved, no_room});
    EXPECT_TRUE(answer.has_instructions);
    EXPECT_FALSE(answer.is_usable);
    EXPECT_EQ(answer.reason, "arch_prctl(ARCH_REQ_XCOMP_PERM, XTILEDATA): No space left on device");
    EXPECT_EQ(asked, 1);
}

TEST(AmxPermission, DecidesAboutTheTable) {
    const AmxAnswer& answer = request_amx();
    EXPECT_EQ(&answer, &request_amx()) << "asked once";
    EXPECT_EQ(answer.is_usable, answer.reason.empty());
    const KernelTable* table = find("amx");
    EXPECT_TRUE(answer.is_usable || table == nullptr);
    EXPECT_TRUE(table == nullptr || table == usable_tables().front());
}

}  // namespace
}  // namespace bitnetd::kernels
