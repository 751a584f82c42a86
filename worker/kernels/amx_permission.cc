#include "worker/kernels/amx_permission.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <cerrno>

#include "common/base/result.h"

namespace bitnetd::kernels {
namespace {

constexpr uint32_t kHasTiles = 1u << 24;  // leaf 7, edx
constexpr uint32_t kHasInt8 = 1u << 25;
constexpr int kTileConfig = 17;  // state components of XSAVE: TILECFG and TILEDATA
constexpr int kTileData = 18;
constexpr uint64_t kSavesTiles = 1ull << kTileConfig | 1ull << kTileData;

#if defined(__x86_64__)

uint32_t leaf_7_edx() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 ? d : 0;
}

uint64_t xcr0() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & bit_OSXSAVE) == 0) return 0;
    uint32_t low = 0, high = 0;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return uint64_t{high} << 32 | low;
}

int ask_linux() {
    constexpr int kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
    return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0 ? 0 : errno;
}

AmxFacts facts_of_this_process() {
    return {.leaf_7_edx = leaf_7_edx(), .xcr0 = xcr0(), .ask = ask_linux};
}

#else

AmxFacts facts_of_this_process() {
    return {};
}

#endif

}  // namespace

AmxAnswer judge_amx(const AmxFacts& facts) {
    AmxAnswer out;
    out.has_instructions =
        (facts.leaf_7_edx & kHasTiles) != 0 && (facts.leaf_7_edx & kHasInt8) != 0;
    if (!out.has_instructions) {
        out.reason = "the CPU has no AMX-INT8";
    } else if ((facts.xcr0 & kSavesTiles) != kSavesTiles) {
        out.reason = "the system does not save AMX's tiles (XCR0 bits 17 and 18)";
    } else if (const int error = facts.ask(); error != 0) {
        out.reason = io_error("arch_prctl(ARCH_REQ_XCOMP_PERM, XTILEDATA)", error).message;
    } else {
        out.is_usable = true;
    }
    return out;
}

const AmxAnswer& request_amx() {
    static const AmxAnswer answer = judge_amx(facts_of_this_process());
    return answer;
}

}  // namespace bitnetd::kernels
