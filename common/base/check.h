// BITNETD_CHECK: a broken invariant is a bug. On in release; writes place and condition to standard
// error and to the process's last words (read by the supervisor after death), then aborts.
#pragma once

#include <cstddef>

namespace bitnetd {

// Where check_failed() leaves its message: `bytes` of writable memory that outlives the process's
// crash, normally BoardHeader::last_words. Set once at start, before threads; null turns it off.
void set_last_words(char* area, size_t bytes) noexcept;

// Writes `text` to the last words area, for a death that is not a failed check. Async-signal-safe.
void say_last_words(const char* text) noexcept;

[[noreturn]] void check_failed(const char* condition, const char* file, int line) noexcept;

}  // namespace bitnetd

#define BITNETD_CHECK(condition)           \
    (static_cast<bool>(condition) ? void() \
                                  : ::bitnetd::check_failed(#condition, __FILE__, __LINE__))

// For inner loops: checked in debug and sanitizer builds only.
#ifdef NDEBUG
#define BITNETD_DCHECK(condition) static_cast<void>(sizeof(!(condition)))
#else
#define BITNETD_DCHECK(condition) BITNETD_CHECK(condition)
#endif
