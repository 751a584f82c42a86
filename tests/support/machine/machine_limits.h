// What this machine could do at most, measured in the run whose figures are compared with it: how
// fast memory is read, and how fast 8-bit numbers are multiplied and added.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "worker/topology/thread_pool.h"

namespace bitnetd::bench {

struct Measured {
    double median = 0;
    double best = 0;
};

struct MachineLimits {
    struct Rate {
        std::string isa;  // as kernel tables are named
        Measured gmac_s;  // 1e9 multiply-adds of 8-bit numbers per second, all threads together
    };

    std::string cpu;
    int threads = 0;
    Measured read_gb_s;  // 1e9 bytes per second, all threads together
    std::vector<Rate> int8;
};

// Medians and best of `runs` runs of some 100 ms each. Takes 1 GiB for the time.
MachineLimits measure_machine(worker::ThreadPool& pool, int runs);

// Between two measurements of the same machine: it is shared with others, and they come and go.
MachineLimits between(const MachineLimits& before, const MachineLimits& after);

// The rate that a kernel table is measured against, 1e9/s; nothing for the scalar one.
std::optional<double> int8_gmac_s(const MachineLimits& limits, std::string_view table);

void print(const MachineLimits& limits);
// {cpu, threads, read_gb_s, int8_gmac_s {ISA: rate}}, medians
nlohmann::json to_json(const MachineLimits& limits);

// Needs values not empty.
double median(std::vector<double> values);

Result<void> write_json(const std::string& path, const nlohmann::json& content);

}  // namespace bitnetd::bench
