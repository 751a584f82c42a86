// What this process leaves to its successor, kept up to date: the descriptors in systemd's store
// and the state table that says what they are. Without a store nothing is kept; an exec in place
// takes everything along by itself. Main thread.
#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "supervisor/lifecycle/handover/fd_store.h"
#include "supervisor/lifecycle/handover/handover_list.h"
#include "supervisor/lifecycle/handover/inherited.h"
#include "supervisor/lifecycle/handover/snapshot.h"
#include "supervisor/lifecycle/handover/state_table.h"

namespace bitnetd::supervisor {

class Estate {
  public:
    // `table`: a predecessor's, or a new one.
    Estate(FdStore store, StateTable table) : store_(std::move(store)), table_(std::move(table)) {}

    // Whether a successor will find anything after our death.
    bool outlives_us() const { return store_.available(); }
    // What was in the store when we were born.
    void note_stored(const std::vector<NamedFd>& fds);
    // Takes out of the store what was in it and is not claimed: left by a predecessor that died
    // between storing and writing its table. Before anything is stored: an incarnation that the
    // table does not know is given again, and its names with it. What is in use under such a name
    // is stored again by save(). What could not be removed is logged: to serve matters more.
    void drop_unclaimed(const std::vector<std::string>& names);

    // New descriptors go into the store before the snapshot names them, old ones leave it
    // afterwards. CRASH(estate.stored): the table is the one before, whose descriptors are all
    // there still; what it does not know is closed by the successor.
    Result<void> save(const SupervisorSnapshot& snapshot, const std::vector<NamedFd>& fds);

    // At the end of an orderly stop: systemd keeps the store over `systemctl restart` too, and who
    // is started then shall begin anew instead of taking over what has ended.
    Result<void> leave_nothing();

    // For an exec in place: the table, written now, beside the other descriptors.
    Result<NamedFd> write_table(const SupervisorSnapshot& snapshot);

  private:
    using Identity = std::pair<dev_t, ino_t>;  // of what a descriptor refers to
    Result<void> store_new(const NamedFd& fd);

    FdStore store_;
    StateTable table_;
    std::map<std::string, Identity, std::less<>> stored_;
};

// A predecessor's state table and what it says; nothing when this process was born with none. An
// error: there is one that this build cannot use.
struct Inheritance {
    StateTable table;
    SupervisorSnapshot snapshot;
};
Result<std::optional<Inheritance>> read_inheritance(Inherited& inherited);

}  // namespace bitnetd::supervisor
