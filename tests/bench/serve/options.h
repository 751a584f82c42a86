// The command line of ./dev bench serve, read and checked.
#pragma once

#include <sys/types.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "tests/bench/serve/request_maker.h"

namespace bitnetd::bench {

struct Rate {
    double value = 0;
    bool of_capacity = false;  // times what a closed loop reached, instead of requests per second
};
// "200,0.9x,4x"
Result<std::vector<Rate>> parse_rates(const std::string& text);

// As typed. The defaults are those of --help.
struct CommandLine {
    std::string url, model, model_id, server_flags, rates, corpus, json_path;
    std::string transport = "tcp", mix = "completions";
    std::string prompt_tokens = "fixed:32", output_tokens = "fixed:16";
    std::vector<std::string> priorities;
    std::vector<uint32_t> clients;
    double duration_s = 10, warmup_s = 1, think_ms = 0, temperature = 0, patience_s = 60;
    uint64_t requests = 0, timeout_ms = 0, seed = 1;
    uint32_t shared_prefix = 0, vocabulary = 1000, retries = 0, check_same = 0;
    uint32_t connections_max = 8000;
    pid_t server_pid = 0;
    bool stream = true;

    void add_to(CLI::App& app);
};

// What is asked of every request. `context`, `model` and `host` are the server's to tell.
Result<RequestPlan> plan_of(const CommandLine& line);
Result<std::vector<Rate>> rates_of(const CommandLine& line);
// The closed loops: those that were asked for, and one if a rate needs the capacity.
std::vector<uint32_t> clients_of(const CommandLine& line, const std::vector<Rate>& rates);
std::vector<std::string> split(const std::string& text, char at);

}  // namespace bitnetd::bench
