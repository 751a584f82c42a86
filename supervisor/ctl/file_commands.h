// What `bitnetctl model` may be asked about model files. No server is needed.
#pragma once

#include <string>

#include "shm/abi/control_abi.h"

namespace CLI {
class App;
}

namespace bitnetd::supervisor {

struct ModelCommand {
    shm::Task task{};
    std::string model;  // path: a GGUF file, the first part of a split one, or a directory
    // What files do not say: params.def, model.*.
    std::string i2s_layout = "128/32";
    std::string tl_tiles;
    bool json = false;
    bool add_special = false;
    bool parse_special = false;
    std::string template_path;  // empty: the model's template
    std::string out;            // convert
    bool force = false;
    std::string ternary_type = "I2_S";
    std::string float_type;  // empty: as stored
};

// Adds info, verify, tokenize, render and convert to `model`; parsing fills `command`, whose task
// says which it was. `command` must live as long as the App.
void add_file_commands(CLI::App& model, ModelCommand& command);

}  // namespace bitnetd::supervisor
