// What lies between two configurations, as work to do: the supervisor compares what it runs with
// what SIGHUP read. Pure: no process is asked, nothing is opened.
#pragma once

#include <string>
#include <vector>

#include "supervisor/lifecycle/settings/settings_check.h"

namespace bitnetd::supervisor {

struct SettingsChange {
    std::vector<std::string> keys;  // every row that differs, in the table's order

    bool live = false;       // the supervisor has something to apply at once
    bool frontends = false;  // new frontends take over
    // New workers on the weights that are there; not set with models_again, where new workers come
    // with the new weights.
    bool workers = false;
    // Every model that stays is prepared again: what the loader is told has changed.
    bool models_again = false;

    // Of server.model, by id. One that is only written differently ("m.gguf", "m=m.gguf") is
    // neither; a link that leads elsewhere now is not seen, since nothing is opened.
    std::vector<ModelSource> models_added;
    std::vector<ModelSource> models_removed;
    std::vector<ModelSource> models_changed;  // with the new path
    bool default_model_changed = false;       // another one is the first

    std::vector<ListenAddress> listen_added;
    std::vector<ListenAddress> listen_removed;

    // Rows whose change waits for a restart; the running server keeps the old value.
    std::vector<std::string> need_restart;

    bool empty() const { return keys.empty(); }
};

SettingsChange diff(const Settings& before, const Settings& after);

}  // namespace bitnetd::supervisor
