// Whether this process may use the tiles of AMX. Unlike other instructions, having them is not
// enough: their 8 KiB of registers make every switch of threads dearer, so Linux saves them only
// for processes that have asked.
#pragma once

#include <cstdint>
#include <string>

namespace bitnetd::kernels {

struct AmxAnswer {
    bool has_instructions = false;  // the CPU's: AMX-TILE and AMX-INT8
    bool is_usable = false;
    std::string reason;  // why not; empty when usable
};

// Asks at the first call; later ones get the same answer. The permission is the process's, for
// threads there are and will be. First called before the process confines itself, or where the
// filter lets the question through (common/confine/rules.cc).
const AmxAnswer& request_amx();

// What request_amx() judges by; tests give their own.
struct AmxFacts {
    uint32_t leaf_7_edx = 0;  // of CPUID; 0 where there is no such leaf
    uint64_t xcr0 = 0;        // the registers that the system saves at all; 0 where it says nothing
    int (*ask)() = nullptr;   // asks Linux for the permission: 0, or an errno
};
AmxAnswer judge_amx(const AmxFacts& facts);

}  // namespace bitnetd::kernels
