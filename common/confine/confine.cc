#include "common/confine/confine.h"

#include <seccomp.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "common/confine/landlock.h"
#include "common/confine/rules.h"
#include "common/log/log.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define BITNETD_SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define BITNETD_SANITIZED
#endif

namespace bitnetd {
namespace {

struct ReleaseFilter {
    void operator()(void* filter) const { seccomp_release(filter); }
};

Result<void> load_filter(Profile profile) {
    const std::unique_ptr<void, ReleaseFilter> filter(seccomp_init(SCMP_ACT_ERRNO(EPERM)));
    if (filter == nullptr) return io_error("make a seccomp filter", ENOMEM);
    BITNETD_TRY(add_rules(filter.get(), profile));
    // Threads that libraries started meanwhile come under the same filter.
    int result = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1);
    if (result == 0) result = seccomp_load(filter.get());
    if (result != 0) return io_error("load the seccomp filter", -result);
    return {};
}

}  // namespace

bool confine_works() noexcept {
#ifdef BITNETD_SANITIZED
    return false;
#else
    return true;
#endif
}

Result<void> confine(Profile profile) {
    if (!confine_works()) {
        log::info("confine_skipped", {{"reason", "built with a sanitizer"}});
        return {};
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return io_error("set no_new_privs", errno);
    BITNETD_ASSIGN(const bool landlock, deny_file_system());
    BITNETD_TRY(load_filter(profile));
    log::debug("confined", {{"landlock", landlock}});
    return {};
}

void close_fds_from(unsigned first) noexcept {
    close_range(first, ~0u, 0);
}

}  // namespace bitnetd
