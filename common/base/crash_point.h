// BITNETD_CRASH(ring.copied): a place where a process may die, named so that a test can make it die
// there. Each label has a comment that says why death is harmless, and a fault test that proves it.
//
// Compiled in everywhere but in release builds (BITNETD_CRASH_POINTS, set by cmake). A process dies
// by SIGKILL at the label named by crash_at(), or by the environment variable
// BITNETD_CRASH_AT=ring.copied or BITNETD_CRASH_AT=ring.copied:17 (at the 17th pass).
#pragma once

#include <cstdint>

namespace bitnetd {

#ifdef BITNETD_CRASH_POINTS
inline constexpr bool kCrashPointsCompiled = true;
#else
inline constexpr bool kCrashPointsCompiled = false;
#endif

// Arms this process: it is killed when it passes `label` for the `pass`th time (1 = the next time).
// `label` must stay valid; nullptr disarms. Not thread-safe: call it before threads start.
void crash_at(const char* label, uint64_t pass = 1) noexcept;

// What BITNETD_CRASH calls.
void crash_point(const char* label) noexcept;

}  // namespace bitnetd

#ifdef BITNETD_CRASH_POINTS
#define BITNETD_CRASH(label) ::bitnetd::crash_point(#label)
#else
#define BITNETD_CRASH(label) static_cast<void>(0)
#endif
