// Manual pages and shell completion made from the command lines' own descriptions, so that they say
// what --help says.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace bitnetd::supervisor {

std::string server_manual(const CLI::App& app);   // bitnetd(8)
std::string control_manual(const CLI::App& app);  // bitnetctl(1)
std::string dump_manual(const CLI::App& app);     // bitnet-shmdump(1)

// A completion function for bash: commands, options, and files where a value is expected.
std::string bash_completion(const CLI::App& app);

}  // namespace bitnetd::supervisor
