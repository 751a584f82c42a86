// What each role may ask of the kernel, as rules for libseccomp.
#pragma once

#include <seccomp.h>

#include "common/base/result.h"
#include "common/confine/confine.h"

namespace bitnetd {

// Adds the rules of `profile` to a filter whose default is to fail with EPERM.
Result<void> add_rules(scmp_filter_ctx filter, Profile profile);

}  // namespace bitnetd
