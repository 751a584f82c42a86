// Checks the effective configuration as a whole: what no single row of params.def can see.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "common/config/params.h"
#include "supervisor/lifecycle/settings/listen_address.h"

namespace bitnetd::supervisor {

inline constexpr size_t kModelsMax = 16;
inline constexpr size_t kListenersMax = 16;

// One element of server.model.
struct ModelSource {
    std::string id;  // what clients call it
    std::string path;
};

// PATH (the id is its last name, without ".gguf" and what numbers the parts of a split file) or
// ID=PATH. What stands before the first '=' is an id when it consists of letters, digits and
// "._:@/-" and does not begin with '.' or '/'.
Result<ModelSource> parse_model_source(std::string_view text);

// The configuration, understood.
struct Settings {
    Params params;
    std::vector<ListenAddress> listen;
    std::vector<ModelSource> models;
    mode_t unix_mode = 0;
};

// Fills in what the defaults leave to be decided (the listen address) and checks everything. The
// error names the setting, what was expected and what was found.
Result<Settings> check_settings(Params params);

}  // namespace bitnetd::supervisor
