#include "supervisor/lifecycle/settings/settings_diff.h"

#include <algorithm>

namespace bitnetd::supervisor {
namespace {

const ModelSource* find_model(const std::vector<ModelSource>& models, const std::string& id) {
    const auto found = std::find_if(models.begin(), models.end(),
                                    [&](const ModelSource& model) { return model.id == id; });
    return found == models.end() ? nullptr : &*found;
}

void compare_models(const std::vector<ModelSource>& before, const std::vector<ModelSource>& after,
                    SettingsChange& change) {
    for (const ModelSource& model : after) {
        const ModelSource* old = find_model(before, model.id);
        if (old == nullptr) {
            change.models_added.push_back(model);
        } else if (old->path != model.path) {
            change.models_changed.push_back(model);
        }
    }
    for (const ModelSource& model : before) {
        if (find_model(after, model.id) == nullptr) change.models_removed.push_back(model);
    }
    change.default_model_changed = before.front().id != after.front().id;
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

void add_row(const ParamRow& row, SettingsChange& change) {
    change.keys.push_back(row.key());
    switch (row.reload) {
        case Reload::kLive:
            change.live = true;
            break;
        case Reload::kFrontends:
            change.frontends = true;
            break;
        case Reload::kWorkers:
            change.workers = true;
            break;
        case Reload::kBoth:
            change.frontends = change.workers = true;
            break;
        case Reload::kLoad:
            change.models_again = true;
            break;
        case Reload::kAll:
            change.frontends = change.models_again = true;
            break;
        case Reload::kModels:  // compare_models() says which
        case Reload::kListen:  // likewise
            break;
        case Reload::kRestart:
            change.need_restart.push_back(row.key());
            break;
    }
}

}  // namespace

SettingsChange diff(const Settings& before, const Settings& after) {
    SettingsChange change;
    for (const ParamRow& row : changed_rows(before.params, after.params))
        add_row(row, change);
    if (change.models_again) change.workers = false;
    compare_models(before.models, after.models, change);
    change.listen_added = without(after.listen, before.listen);
    change.listen_removed = without(before.listen, after.listen);
    return change;
}

}  // namespace bitnetd::supervisor
