// confine(): a child gives up, for ever, what its role does not need, before it reads its first
// byte of input: no new privileges, no file system (Landlock where the kernel has it), and a
// seccomp filter that allows a short list of system calls per role. Everything else fails with
// EPERM (clone3 and what libraries try first with ENOSYS); nothing kills. So a process that is
// taken over can neither start programs, open files, make sockets (but accept them, in the
// frontend), nor look into its siblings. The lists are in rules.cc. Called once, on the main
// thread, before other threads that must obey it; threads that exist already are brought under the
// filter too.
#pragma once

#include <cstdint>

#include "common/base/result.h"

namespace bitnetd {

enum class Profile : uint8_t { kLoader, kWorker, kGpuWorker, kFrontend };

// Does nothing, with a log line, in builds with a sanitizer: their run-time opens files and makes
// threads of its own. An error means that the process is less confined than asked: do not go on.
Result<void> confine(Profile profile);

// Whether confine() does anything in this build.
bool confine_works() noexcept;

// Closes every descriptor from `first` on. Before confine(): what was inherited by mistake goes.
void close_fds_from(unsigned first) noexcept;

}  // namespace bitnetd
