#include "supervisor/lifecycle/handover/estate.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "common/base/crash_point.h"
#include "common/log/log.h"
#include "supervisor/lifecycle/handover/fd_name.h"

namespace bitnetd::supervisor {
namespace {

Result<std::pair<dev_t, ino_t>> identity_of(const NamedFd& fd) {
    struct stat info {};
    if (fstat(fd.fd, &info) != 0) return io_error("descriptor " + fd.name, errno);
    return std::pair(info.st_dev, info.st_ino);
}

}  // namespace

void Estate::note_stored(const std::vector<NamedFd>& fds) {
    for (const NamedFd& fd : fds) {
        const auto identity = identity_of(fd);
        if (!identity.ok()) continue;
        store_.note(fd.name, 1);
        stored_[fd.name] = *identity;
    }
}

void Estate::drop_unclaimed(const std::vector<std::string>& names) {
    for (const std::string& name : names) {
        store_.note(name, 1);
        stored_.erase(name);
        if (auto removed = store_.remove(name); !removed.ok()) {
            log::warn("store_not_cleaned", {{"error", removed.error().message}});
        }
    }
}

Result<void> Estate::store_new(const NamedFd& fd) {
    BITNETD_ASSIGN(const Identity identity, identity_of(fd));
    const auto known = stored_.find(fd.name);
    if (known != stored_.end()) {
        if (known->second == identity) return {};
        // The name is given again: a slot has another KV arena.
        BITNETD_TRY(store_.remove(fd.name));
        stored_.erase(known);
    }
    BITNETD_TRY(store_.store(fd.name, fd.fd));
    stored_[fd.name] = identity;
    return {};
}

Result<void> Estate::save(const SupervisorSnapshot& snapshot, const std::vector<NamedFd>& fds) {
    if (!outlives_us()) return {};
    BITNETD_TRY(store_new({std::string(fd_name::kState), table_.fd()}));
    for (const NamedFd& fd : fds)
        BITNETD_TRY(store_new(fd));
    BITNETD_CRASH(estate.stored);
    BITNETD_TRY(table_.write(to_text(snapshot)));
    std::vector<std::string> gone;
    for (const auto& [name, identity] : stored_) {
        const auto is_it = [&name](const NamedFd& fd) { return fd.name == name; };
        const bool stays = name == fd_name::kState || std::any_of(fds.begin(), fds.end(), is_it);
        if (!stays) gone.push_back(name);
    }
    for (const std::string& name : gone) {
        BITNETD_TRY(store_.remove(name));
        stored_.erase(name);
    }
    return {};
}

Result<void> Estate::leave_nothing() {
    // The table first: without it nothing else is taken for an estate.
    BITNETD_TRY(store_.remove(fd_name::kState));
    stored_.erase(std::string(fd_name::kState));
    while (!stored_.empty()) {
        BITNETD_TRY(store_.remove(stored_.begin()->first));
        stored_.erase(stored_.begin());
    }
    return {};
}

Result<NamedFd> Estate::write_table(const SupervisorSnapshot& snapshot) {
    BITNETD_TRY(table_.write(to_text(snapshot)));
    return NamedFd{std::string(fd_name::kState), table_.fd()};
}

Result<std::optional<Inheritance>> read_inheritance(Inherited& inherited) {
    Fd state = inherited.take(fd_name::kState);
    if (!state) return std::optional<Inheritance>();
    BITNETD_ASSIGN(StateTable table, StateTable::open(std::move(state)));
    BITNETD_ASSIGN(const std::string text, table.read());
    BITNETD_ASSIGN(SupervisorSnapshot snapshot, parse_snapshot(text));
    return std::optional<Inheritance>(Inheritance{std::move(table), std::move(snapshot)});
}

}  // namespace bitnetd::supervisor
