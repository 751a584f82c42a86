#include "tests/bench/serve/process_usage.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>

namespace bitnetd::bench {
namespace {

std::string file_of(pid_t pid, const std::string& name) {
    std::ifstream in("/proc/" + std::to_string(pid) + "/" + name);
    return {std::istreambuf_iterator<char>(in), {}};
}

// User and system time: fields 14 and 15, counted behind the name, which may hold blanks.
double cpu_seconds(pid_t pid) {
    const std::string stat = file_of(pid, "stat");
    const size_t behind_name = stat.rfind(')');
    if (behind_name == stat.npos) return 0;
    std::istringstream fields(stat.substr(behind_name + 1));
    std::string skipped;
    for (int field = 3; field < 14; ++field)
        fields >> skipped;
    double user = 0, system = 0;
    fields >> user >> system;
    return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

std::string name_of(pid_t pid) {
    std::string command = file_of(pid, "cmdline");
    command.resize(std::min(command.find('\0'), command.size()));
    return command.substr(command.rfind('/') + 1);
}

}  // namespace

std::vector<pid_t> process_tree(pid_t root) {
    std::vector<pid_t> tree = {root};
    for (size_t i = 0; i < tree.size(); ++i) {
        const pid_t parent = tree[i];
        std::istringstream children(
            file_of(parent, "task/" + std::to_string(parent) + "/children"));
        std::copy(std::istream_iterator<pid_t>(children), {}, std::back_inserter(tree));
    }
    return tree;
}

std::optional<uint64_t> resident_bytes(pid_t root) {
    uint64_t kib = 0;
    for (const pid_t pid : process_tree(root)) {
        const std::string rollup = file_of(pid, "smaps_rollup");
        const size_t line = rollup.find("\nPss:");
        if (line == rollup.npos) continue;  // it ended, or may not be looked at
        kib += std::stoull(rollup.substr(line + 5));
    }
    if (kib == 0) return std::nullopt;
    return kib * 1024;
}

ProcessorTime::ProcessorTime(pid_t root) : root_(root) {
    for (const pid_t pid : process_tree(root))
        start_s_[pid] = cpu_seconds(pid);
}

std::map<std::string, double> ProcessorTime::since_start() const {
    std::map<std::string, double> seconds;
    for (const pid_t pid : process_tree(root_)) {
        const auto start = start_s_.find(pid);
        const double before = start == start_s_.end() ? 0 : start->second;
        seconds[name_of(pid)] += std::max(0.0, cpu_seconds(pid) - before);
    }
    return seconds;
}

}  // namespace bitnetd::bench
