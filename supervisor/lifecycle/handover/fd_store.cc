#include "supervisor/lifecycle/handover/fd_store.h"

#include <systemd/sd-daemon.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>

#include "common/base/quote.h"
#include "supervisor/lifecycle/handover/fd_name.h"
#include "supervisor/lifecycle/handover/systemd_link.h"

namespace bitnetd::supervisor {
namespace {

constexpr size_t kFdsPerMessageMax = 253;  // the kernel's limit (SCM_MAX_FD)

size_t number_in_environment(const char* variable) {
    const char* value = std::getenv(variable);
    if (value == nullptr) return 0;
    const std::string_view text = value;
    size_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc() && end == text.data() + text.size() ? number : 0;
}

}  // namespace

FdStore FdStore::from_environment() {
    if (!systemd::present()) return FdStore(0);
    const size_t told = number_in_environment("FDSTORE");
    return FdStore(told > 0 ? told : number_in_environment("BITNETD_FD_STORE"));
}

Result<void> FdStore::store_all(std::string_view name, std::span<const int> fds) {
    BITNETD_TRY(check_fd_name(name));
    if (!available()) return {};
    if (fds.empty() || fds.size() > kFdsPerMessageMax) {
        return invalid("store " + quote(name) + ": expected 1 to " +
                       std::to_string(kFdsPerMessageMax) + " descriptors, found " +
                       std::to_string(fds.size()));
    }
    if (held_.contains(name)) return invalid("store " + quote(name) + ": the name is taken");
    if (fd_count_ + fds.size() > fds_max_) {
        return Error{ErrorCode::kExhausted,
                     "store " + quote(name) + ": systemd keeps " + std::to_string(fds_max_) +
                         " descriptors for us and has " + std::to_string(fd_count_) +
                         "; raise FileDescriptorStoreMax= and BITNETD_FD_STORE of the unit"};
    }
    // FDPOLL=0: systemd would else drop a socket as soon as its other side hangs up, with the last
    // words that a dead child left in it.
    const std::string message = "FDSTORE=1\nFDPOLL=0\nFDNAME=" + std::string(name);
    const int sent = sd_pid_notify_with_fds(0, 0, message.c_str(), fds.data(),
                                            static_cast<unsigned>(fds.size()));
    if (sent <= 0) return io_error("store " + quote(name), sent < 0 ? -sent : ENOTCONN);
    note(name, fds.size());
    return {};
}

Result<void> FdStore::remove(std::string_view name) {
    BITNETD_TRY(check_fd_name(name));
    const auto found = held_.find(name);
    if (!available() || found == held_.end()) return {};
    const std::string message = "FDSTOREREMOVE=1\nFDNAME=" + std::string(name);
    const int sent = sd_notify(0, message.c_str());
    if (sent <= 0) {
        return io_error("remove " + quote(name) + " from systemd's store",
                        sent < 0 ? -sent : ENOTCONN);
    }
    fd_count_ -= found->second;
    held_.erase(found);
    return {};
}

void FdStore::note(std::string_view name, size_t fd_count) {
    held_[std::string(name)] += fd_count;
    fd_count_ += fd_count;
}

}  // namespace bitnetd::supervisor
