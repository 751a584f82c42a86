// A command line as data: what CLI11's objects know of it, for pages that are made from it.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace bitnetd::supervisor {

struct CliOption {
    std::vector<std::string> flags;  // "-h", "--help"; empty: positional
    std::string value;               // "FILE"; empty: takes none
    std::string help;
    std::string group;  // "[server]", "Options"
    bool required = false;
};

struct CliCommand {
    std::string path;  // "bitnetctl model info"
    std::string description;
    std::string footer;
    std::vector<CliOption> options;
    std::vector<CliCommand> commands;

    // "bitnetctl model info [OPTIONS] FILE"
    std::string synopsis() const;
};

CliCommand cli_tree(const CLI::App& app);

// Every command below `root` that has none below itself, in order.
std::vector<const CliCommand*> leaves(const CliCommand& root);

}  // namespace bitnetd::supervisor
