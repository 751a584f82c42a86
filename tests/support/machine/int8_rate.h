// Loops of 8-bit multiply-adds that touch no memory, one for each instruction set: what the
// arithmetic of a kernel table could do at most. Written as assembly, so that the compiler neither
// leaves products out nor puts instructions where an older CPU would meet them.
#pragma once

#include <cstdint>
#include <span>

namespace bitnetd::bench {

struct Int8Set {
    const char* name;  // of the kernel table with these instructions
    int64_t products;  // 8-bit products that are added up in one round
    void (*run)(int64_t rounds) noexcept;
};

// Those that this CPU and the kernel let this process use; asks the kernel for the tiles of AMX.
// Called first on the thread that makes the others.
std::span<const Int8Set> int8_sets();

}  // namespace bitnetd::bench
