// Chooses the kernel table at start: the best one that this CPU has and that gives the reference's
// bits. A table that does not is logged and the next one taken, so that a kernel no developer's
// machine could run cannot do harm.
#pragma once

#include <span>
#include <string_view>

#include "worker/kernels/kernel_api.h"

namespace bitnetd::kernels {

// The tables of this build that this CPU can run, best first. The last is always "scalar".
std::span<const KernelTable* const> usable_tables();

// The usable table of that name; null when the build lacks it or the CPU cannot run it.
const KernelTable* find(std::string_view name);

// The table to use: `preferred` is a name or "auto" (the kernel_isa setting). One that is not
// usable or fails its self-check is logged and passed over, best first. Takes some tens of
// milliseconds; called once per process, before READY.
const KernelTable& select(std::string_view preferred);

// select() over given candidates, for tests. The last candidate is taken unchecked: it is what the
// others are checked against.
const KernelTable& select_from(std::span<const KernelTable* const> candidates,
                               std::string_view preferred);

}  // namespace bitnetd::kernels
