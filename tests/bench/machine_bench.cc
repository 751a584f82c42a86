// Goal: the limits of this machine that every other figure is a share of.
// Method: all cores the process may use, one pinned thread each. Memory is read by a plain loop of
//       the widest loads over 1 GiB in huge pages; 8-bit numbers are multiplied and added in
//       registers, with the instructions of each kernel table this CPU has. Median and best of
//       several runs of 100 ms each. bench_machine [--threads N] [--runs N] [--json FILE]
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/support/machine/bench_pool.h"
#include "tests/support/machine/machine_limits.h"
#include "tests/support/machine/other_load.h"

namespace {

using namespace bitnetd;

Result<void> run(int threads, int runs, const std::string& json_path) {
    BITNETD_ASSIGN(const auto pool, bench::make_bench_pool(threads));
    const bench::OtherLoad load;
    const bench::MachineLimits limits = bench::measure_machine(*pool, runs);
    bench::print(limits);
    std::printf("\nothers used %.1f %% of the machine meanwhile\n", 100 * load.share());
    if (json_path.empty()) return {};
    return bench::write_json(json_path, {{"machine", bench::to_json(limits)}});
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("measures what this machine could do at most");
    int threads = 0;
    int runs = 7;
    std::string json_path;
    app.add_option("--threads", threads, "0: one per core")->check(CLI::Range(0, 4096));
    app.add_option("--runs", runs, "runs of each measurement")->check(CLI::Range(5, 1000));
    app.add_option("--json", json_path, "writes {machine} to this file");
    CLI11_PARSE(app, argc, argv);
    if (const auto done = run(threads, runs, json_path); !done.ok()) {
        std::fprintf(stderr, "bench_machine: %s\n", done.error().message.c_str());
        return 1;
    }
    return 0;
}
