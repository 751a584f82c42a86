// What lies between the server as it runs and a configuration, as work to do: with what there is,
// not with what was wished for before. A reload that failed half-way leaves some processes and
// models on the old configuration and some on the new one; the next one finds them all the same.
// Pure: no process is asked, nothing is opened.
#pragma once

#include <string>
#include <vector>

#include "supervisor/lifecycle/settings/settings_check.h"

namespace bitnetd::supervisor {

// A model that serves.
struct ServedModel {
    ModelSource source;
    const Params* params;  // the configuration that it was loaded under
};

struct Running {
    struct Worker {
        std::string model;  // its id
        const Params* params;
    };
    const Settings& settings;  // what the supervisor goes by
    std::vector<ServedModel> models;
    std::vector<ListenAddress> listen;     // as asked for
    std::vector<const Params*> frontends;  // with which each was started
    std::vector<Worker> workers;           // likewise
};

struct SettingsChange {
    std::vector<std::string> keys;  // every row that differs, in the table's order

    bool frontends = false;  // new frontends take over
    // New workers on the weights that are there; not set where all of them come with new weights
    // or go.
    bool workers = false;
    bool keeps_bytes = true;  // these draw the tokens that the old ones draw

    // By id. One that is only written differently ("m.gguf", "m=m.gguf") is none of these; a link
    // that leads elsewhere now is not seen, since nothing is opened. What operators loaded or
    // swapped stays as it is where the list says what it said before.
    std::vector<ModelSource> models_added;
    std::vector<ModelSource> models_missing;  // in the list before and after, and not served
    std::vector<ModelSource> models_removed;
    // Another path; or the same, where what the loader is told has changed.
    std::vector<ModelSource> models_swapped;

    std::vector<ListenAddress> listen_added;
    std::vector<ListenAddress> listen_removed;

    // Rows whose change waits for a restart; the running server keeps the old value.
    std::vector<std::string> need_restart;

    bool has_new_sockets() const { return !listen_added.empty() || !listen_removed.empty(); }
    bool empty() const;
};

SettingsChange diff(const Running& running, const Settings& after);

// What is in force after a reload from `before` to `wanted` that failed half-way: what processes
// read is as in `processes`, with which they are started now; of the models, what serves counts.
Settings settings_in_force(const Settings& before, const Settings& wanted, const Params& processes,
                           const std::vector<ServedModel>& models);

}  // namespace bitnetd::supervisor
