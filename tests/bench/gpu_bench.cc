// Goal: how close whole models come to a GPU's limits.
// Method: as model_bench.cc, on a GPU: a model file of the asked shape with random weights is
//       packed by the loader's code, uploaded as the worker does, and run by the real engine with
//       its graphs and greedy draws. Figures are medians. The limits are measured before and after
//       each run (gpu_limits.h). A large output matrix counts as its eight-bit screen, as on a CPU,
//       though a GPU reads all of it. Without a GPU it says so and measures nothing.
//       bench_gpu --shape 2b4t --run tg128,pp512,b512; --help has the rest
#include <sys/mman.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "common/config/params.h"
#include "common/log/log.h"
#include "tests/support/bench/gpu_model.h"
#include "tests/support/bench/model_runs.h"
#include "tests/support/bench/random_model.h"
#include "tests/support/gpu/gpu_limits.h"
#include "worker/gpu/cudart/cuda_device.h"
#include "worker/kernels/cuda/cuda_table.h"

namespace {

using namespace bitnetd;
using namespace bitnetd::bench;
using nlohmann::json;

constexpr int kLimitRuns = 5;

struct Options {
    uint32_t device = 0;
    std::string shape = "2b4t";
    std::string runs = "tg128,pp512,b32,b512";
    std::string kv = Params().kv_type;
    uint32_t step_tokens = 512;
    int repeat = 5;
    std::string json_path;
};

Result<shm::Segment> make_weights(const ModelShape& shape) {
    Fd file(memfd_create("bench-gpu", MFD_CLOEXEC));
    if (!file) return io_error("make the model's file", errno);
    BITNETD_TRY(write_random_model(shape, 1, file.get()));
    return pack_file(std::move(file), {});
}

// One line, and the same as JSON.
json report(const ModelRun& run, const RunTimes& times, const TokenLimit& limit,
            const GpuLimits& limits) {
    const double tokens_s = run.tokens() / median(times.seconds);
    std::printf("%-9s %12.1f %12.1f %4s %7.1f %% %10.0f %12.0f\n", run.name.c_str(), tokens_s,
                limit.tokens_s, limit.by, 100 * tokens_s / limit.tokens_s, limits.read_gb_s,
                limits.int8_gmac_s);
    std::fflush(stdout);
    return {{"name", run.name},
            {"tokens_s", tokens_s},
            {"of_limit", tokens_s / limit.tokens_s},
            {"limit", limit.by},
            {"read_gb_s", limits.read_gb_s},
            {"int8_gmac_s", limits.int8_gmac_s}};
}

Result<json> measure(const Options& options, GpuModel& model, std::span<const std::byte> weights,
                     const ModelRun& run) {
    BITNETD_ASSIGN(const GpuLimits before, measure_gpu(kLimitRuns));
    RunTimes times;
    {
        BITNETD_ASSIGN(const auto on_gpu, model.run({.kv_type = kv_type_of(options.kv),
                                                     .step_tokens = options.step_tokens,
                                                     .sequences = run.sequences,
                                                     .positions = run.positions()}));
        BITNETD_ASSIGN(times, time_run(on_gpu->runner(), run, options.repeat));
    }
    BITNETD_ASSIGN(const GpuLimits after, measure_gpu(kLimitRuns));
    const GpuLimits limits{(before.read_gb_s + after.read_gb_s) / 2,
                           (before.int8_gmac_s + after.int8_gmac_s) / 2};
    const TokenCosts costs = token_costs(costs_of(weights), run, options.step_tokens);
    const auto limit = token_limit(costs, run, limits.read_gb_s, limits.int8_gmac_s);
    return report(run, times, *limit, limits);
}

Result<void> run(const Options& options) {
    const ModelShape* shape = find_shape(options.shape);
    if (shape == nullptr) return invalid("--shape " + options.shape + ": one of " + shape_names());
    BITNETD_ASSIGN(const auto runs, parse_runs(options.runs));
    auto device = worker::CudaDevice::open(options.device);
    if (!device.ok()) {
        std::printf("bench gpu: skipped, nothing was measured: %s\n",
                    device.error().message.c_str());
        return {};
    }
    BITNETD_ASSIGN(const auto weights, make_weights(*shape));
    BITNETD_ASSIGN(const auto model, GpuModel::create(**device, kernels::cuda::cuda_table(),
                                                      weights.view(), worker::BlockInputs::kInt8));
    const worker::DeviceFacts& facts = (*device)->facts();
    std::printf("%s (%s), random %s model of %.2f GB\n\n", facts.name.c_str(), facts.family.c_str(),
                shape->name, static_cast<double>(weights.bytes()) / 1e9);
    std::printf("%-9s %12s %17s %9s %10s %12s\n", "run", "tokens/s", "limit tokens/s", "of limit",
                "read GB/s", "int8 GMAC/s");
    json results = json::array();
    for (const ModelRun& each : runs) {
        BITNETD_ASSIGN(json result, measure(options, *model, weights.view(), each));
        results.push_back(std::move(result));
    }
    if (options.json_path.empty()) return {};
    return write_json(options.json_path,
                      {{"gpu", facts.name}, {"shape", shape->name}, {"results", results}});
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    CLI::App app("measures whole models with random weights beside what a GPU allows");
    app.option_defaults()->always_capture_default();
    app.add_option("--device", options.device, "the GPU's number, as cuda:N has it");
    app.add_option("--shape", options.shape, shape_names());
    app.add_option("--run", options.runs,
                   "ppN: prompt; tgN: one sequence; tgN@P: behind P ids; bN: N sequences");
    app.add_option("--kv", options.kv, "keys and values: f32, f16 or int8")
        ->check(CLI::IsMember({"f32", "f16", "int8"}));
    app.add_option("--step-tokens", options.step_tokens, "rows of a step at most")
        ->check(CLI::Range(16, 8192));
    app.add_option("--repeat", options.repeat, "runs of each")->check(CLI::Range(1, 1000));
    app.add_option("--json", options.json_path, "writes {gpu, shape, results} here");
    CLI11_PARSE(app, argc, argv);
    log::init("bench", log::Level::kWarn, log::Format::kText);
    if (const auto done = run(options); !done.ok()) {
        std::fprintf(stderr, "bench_gpu: %s\n", done.error().message.c_str());
        return 1;
    }
    return 0;
}
