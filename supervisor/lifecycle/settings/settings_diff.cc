#include "supervisor/lifecycle/settings/settings_diff.h"

#include <algorithm>

namespace bitnetd::supervisor {
namespace {

// With another of these a model draws other tokens.
constexpr std::string_view kChangesBytes[] = {"kv.type", "worker.block_inputs",
                                              "worker.bf16_inputs"};

const ModelSource* find_model(const std::vector<ModelSource>& models, const std::string& id) {
    const auto found = std::find_if(models.begin(), models.end(),
                                    [&](const ModelSource& model) { return model.id == id; });
    return found == models.end() ? nullptr : &*found;
}

const ServedModel* find_served(const std::vector<ServedModel>& models, const std::string& id) {
    const auto found = std::find_if(models.begin(), models.end(), [&](const ServedModel& model) {
        return model.source.id == id;
    });
    return found == models.end() ? nullptr : &*found;
}

bool differ(const Params& before, const Params& after, std::initializer_list<Reload> classes) {
    const auto rows = changed_rows(before, after);
    return std::any_of(rows.begin(), rows.end(), [&](const ParamRow& row) {
        return std::find(classes.begin(), classes.end(), row.reload) != classes.end();
    });
}

bool keep_bytes(const Params& before, const Params& after) {
    const auto rows = changed_rows(before, after);
    return std::none_of(rows.begin(), rows.end(), [](const ParamRow& row) {
        return std::find(std::begin(kChangesBytes), std::end(kChangesBytes), row.key()) !=
               std::end(kChangesBytes);
    });
}

void compare_models(const Running& running, const Settings& after, SettingsChange& change) {
    const auto loads_anew = [&after](const ServedModel& served) {
        return differ(*served.params, after.params, {Reload::kLoad, Reload::kAll});
    };
    for (const ModelSource& model : after.models) {
        const ServedModel* served = find_served(running.models, model.id);
        const ModelSource* old = find_model(running.settings.models, model.id);
        const bool moved = old == nullptr || old->path != model.path;
        if (served == nullptr) {
            (moved ? change.models_added : change.models_missing).push_back(model);
        } else if (moved && served->source.path != model.path) {
            change.models_swapped.push_back(model);
        } else if (loads_anew(*served)) {
            change.models_swapped.push_back(served->source);
        }
    }
    for (const ServedModel& served : running.models) {
        if (find_model(after.models, served.source.id) != nullptr) continue;
        if (find_model(running.settings.models, served.source.id) != nullptr) {
            change.models_removed.push_back(served.source);
        } else if (loads_anew(served)) {  // loaded by an order
            change.models_swapped.push_back(served.source);
        }
    }
}

void compare_processes(const Running& running, const Settings& after, SettingsChange& change) {
    for (const Params* frontend : running.frontends) {
        if (differ(*frontend, after.params, {Reload::kFrontends, Reload::kBoth, Reload::kAll})) {
            change.frontends = true;
        }
    }
    for (const Running::Worker& worker : running.workers) {
        if (find_model(change.models_swapped, worker.model) != nullptr) continue;
        if (find_model(change.models_removed, worker.model) != nullptr) continue;
        if (!differ(*worker.params, after.params, {Reload::kWorkers, Reload::kBoth})) continue;
        change.workers = true;
        change.keeps_bytes = change.keeps_bytes && keep_bytes(*worker.params, after.params);
    }
}

// Those of `addresses` that `others` does not have.
std::vector<ListenAddress> without(const std::vector<ListenAddress>& addresses,
                                   const std::vector<ListenAddress>& others) {
    std::vector<ListenAddress> left;
    std::copy_if(addresses.begin(), addresses.end(), std::back_inserter(left),
                 [&](const ListenAddress& address) {
                     return std::none_of(
                         others.begin(), others.end(),
                         [&](const ListenAddress& other) { return same(address, other); });
                 });
    return left;
}

}  // namespace

bool SettingsChange::empty() const {
    return keys.empty() && !frontends && !workers && !has_new_sockets() && models_added.empty() &&
           models_missing.empty() && models_removed.empty() && models_swapped.empty();
}

SettingsChange diff(const Running& running, const Settings& after) {
    SettingsChange change;
    for (const ParamRow& row : changed_rows(running.settings.params, after.params)) {
        change.keys.push_back(row.key());
        if (row.reload == Reload::kRestart) change.need_restart.push_back(row.key());
    }
    compare_models(running, after, change);
    compare_processes(running, after, change);
    change.listen_added = without(after.listen, running.listen);
    change.listen_removed = without(running.settings.listen, after.listen);
    return change;
}

Settings settings_in_force(const Settings& before, const Settings& wanted, const Params& processes,
                           const std::vector<ServedModel>& models) {
    Settings now = before;
    copy_rows(now.params, processes,
              {Reload::kFrontends, Reload::kWorkers, Reload::kBoth, Reload::kLoad, Reload::kAll,
               Reload::kListen});
    if (processes.server_listen == wanted.params.server_listen) now.listen = wanted.listen;

    now.models.clear();
    now.params.server_model.clear();
    const auto add = [&now](const Settings& from, size_t i) {
        now.models.push_back(from.models[i]);
        now.params.server_model.push_back(from.params.server_model[i]);
    };
    const auto index_in = [](const Settings& settings, const std::string& id) {
        size_t i = 0;
        while (i < settings.models.size() && settings.models[i].id != id)
            ++i;
        return i;
    };
    for (size_t i = 0; i < before.models.size(); ++i) {
        const std::string& id = before.models[i].id;
        const ServedModel* served = find_served(models, id);
        const size_t there = index_in(wanted, id);
        const bool is_wanted = there < wanted.models.size();
        if (is_wanted && served != nullptr && served->source.path == wanted.models[there].path) {
            add(wanted, there);
        } else if (is_wanted || served != nullptr) {
            add(before, i);
        }
    }
    for (size_t i = 0; i < wanted.models.size(); ++i) {
        const std::string& id = wanted.models[i].id;
        if (find_model(before.models, id) == nullptr && find_served(models, id) != nullptr) {
            add(wanted, i);
        }
    }
    return now;
}

}  // namespace bitnetd::supervisor
