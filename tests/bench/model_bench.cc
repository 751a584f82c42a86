// Goal: how close whole models come to this machine's limits, one instruction set after the other.
// Method: a model file of the asked shape with random weights is written, packed by the loader's
//       code into the memory that workers map, and run by the real engine, thread pool and KV cache
//       with greedy draws. Figures are medians. The limits are measured before and after each
//       (machine_bench.cc): reading, once per step, all weights the step needs; and the 8-bit
//       multiply-adds of the instruction set; whichever takes longer. "others" is what the rest of
//       the machine was busy with meanwhile. Nothing asserts a time.
//       bench_model --shape 2b4t --isa all --json NEW.json --compare OLD.json; --help has the rest
#include <fcntl.h>
#include <sys/mman.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/config/kv_type.h"
#include "common/config/params.h"
#include "common/log/log.h"
#include "tests/support/bench/cpu_model.h"
#include "tests/support/bench/model_runs.h"
#include "tests/support/bench/random_model.h"
#include "tests/support/bench/timed_kernels.h"
#include "tests/support/machine/bench_pool.h"
#include "tests/support/machine/other_load.h"
#include "worker/kernels/dispatch.h"

namespace {

using namespace bitnetd;
using namespace bitnetd::bench;
using nlohmann::json;

struct Options {
    std::string shape = "2b4t";
    std::string runs = "pp128,pp512,tg128,b8,b32,b100";
    std::string isa = "auto";
    std::string kv_types = Params().kv_type;
    std::string block_inputs = Params().worker_block_inputs;
    std::string bf16_inputs = Params().worker_bf16_inputs;
    uint32_t step_tokens = static_cast<uint32_t>(Params().worker_step_tokens_max);
    uint32_t layers = 0;
    int threads = 0;
    int repeat = 5;
    bool parts = false;
    std::string json_path, compare_path, write_path;
};

Result<ModelShape> shape_of(const Options& options) {
    const ModelShape* found = find_shape(options.shape);
    if (found == nullptr) return invalid("--shape " + options.shape + ": one of " + shape_names());
    ModelShape shape = *found;
    if (options.layers != 0) shape.layers = options.layers;
    return shape;
}

Result<std::vector<const kernels::KernelTable*>> tables_of(const std::string& names) {
    std::vector<const kernels::KernelTable*> tables;
    if (names == "auto") return std::vector{&kernels::select("auto")};
    std::string usable;
    for (const kernels::KernelTable* table : kernels::usable_tables()) {
        usable += std::string(usable.empty() ? "" : ", ") + table->name;
        const bool is_scalar = std::string_view(table->name) == "scalar";  // minutes per prompt
        const bool is_named =
            ("," + names + ",").find("," + std::string(table->name) + ",") != std::string::npos;
        if (is_named || (names == "all" && !is_scalar)) tables.push_back(table);
    }
    if (tables.empty()) return invalid("--isa " + names + ": auto, all, or some of " + usable);
    return tables;
}

Result<std::vector<KvType>> kv_types_of(const std::string& names) {
    std::vector<KvType> types;
    for (const KvType type : {KvType::kF32, KvType::kF16, KvType::kInt8}) {
        const std::string name = "," + std::string(format_of(type).name) + ",";
        if (names == "all" || ("," + names + ",").find(name) != std::string::npos)
            types.push_back(type);
    }
    if (types.empty()) return invalid("--kv " + names + ": all, or some of f32, f16, int8");
    return types;
}

// The model's file: at the path that was asked for, else in memory without a name.
Result<Fd> make_file(const Options& options, const ModelShape& shape) {
    const uint64_t start = monotonic_ns();
    Fd file(options.write_path.empty()
                ? memfd_create("bench-model", MFD_CLOEXEC)
                : open(options.write_path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!file) return io_error("make the model's file " + options.write_path, errno);
    BITNETD_TRY(write_random_model(shape, 1, file.get()));
    std::printf("random %s model made in %.1f s", shape.name,
                static_cast<double>(monotonic_ns() - start) / 1e9);
    return file;
}

Result<shm::Segment> make_weights(const Options& options, const ModelShape& shape) {
    BITNETD_ASSIGN(Fd file, make_file(options, shape));
    const uint64_t start = monotonic_ns();
    BITNETD_ASSIGN(auto weights, pack_file(std::move(file), {}));
    std::printf(", packed in %.1f s: %.2f GB, %.0f %% of it on huge pages\n\n",
                static_cast<double>(monotonic_ns() - start) / 1e9,
                static_cast<double>(weights.bytes()) / 1e9,
                100 * static_cast<double>(shm::huge_bytes(weights.data())) /
                    static_cast<double>(weights.bytes()));
    return weights;
}

void print_head() {
    std::printf("\n%-11s %-9s %-4s %10s %21s %10s %9s %16s %8s %7s %9s %9s\n", "isa", "run", "kv",
                "tokens/s", "slowest .. fastest", "MB/token", "GMAC/tok", "limit tokens/s",
                "of limit", "others", "step ms", "layers ms");
}

// One line, and the same as JSON.
json report(const Options& options, const ModelRun& run, KvType kv_type, const char* isa,
            const RunTimes& times, const TokenCosts& costs, const std::optional<TokenLimit>& limit,
            double others) {
    const double tokens = run.tokens();
    const double tokens_s = tokens / median(times.seconds);
    const auto [fastest, slowest] = std::ranges::minmax(times.seconds);
    const std::string kv(format_of(kv_type).name);
    std::printf("%-11s %-9s %-4s %10.2f %9.2f .. %8.2f %10.2f %9.3f", isa, run.name.c_str(),
                kv.c_str(), tokens_s, tokens / slowest, tokens / fastest, costs.bytes / 1e6,
                costs.multiply_adds / 1e9);
    json out = {{"name", run.name},
                {"shape", options.shape},
                {"isa", isa},
                {"kv", kv},
                {"tokens_s", tokens_s},
                {"bytes_per_token", costs.bytes},
                {"macs_per_token", costs.multiply_adds},
                {"of_limit", nullptr}};
    if (limit) {
        out["of_limit"] = tokens_s / limit->tokens_s;
        out["limit"] = limit->by;
        std::printf(" %11.1f %4s %6.1f %%", limit->tokens_s, limit->by,
                    100 * tokens_s / limit->tokens_s);
    } else {
        std::printf(" %11s %4s %8s", "-", "", "-");
    }
    out["others"] = others;
    std::printf(" %5.1f %%", 100 * others);
    if (times.layers_seconds) {
        out["step_ms"] = median(times.seconds) * 1e3 / run.drawn;
        out["layers_ms"] = *times.layers_seconds * 1e3 / run.drawn;
        std::printf(" %9.2f %9.2f", out["step_ms"].get<double>(), out["layers_ms"].get<double>());
    }
    std::printf("\n");
    std::fflush(stdout);
    return out;
}

// The engine's threads and how it is set up, for each run and table.
struct Bench {
    const Options& options;
    const ModelShape& shape;
    std::span<const std::byte> weights;
    worker::ThreadPool& pool;
    MachineLimits limits;  // as last measured

    Result<std::unique_ptr<CpuModel>> model(const ModelRun& run, KvType kv_type,
                                            const kernels::KernelTable& table) const {
        return CpuModel::create(
            weights, {.kernels = table,
                      .pool = pool,
                      .kv_type = kv_type,
                      .block_inputs = options.block_inputs == "float" ? worker::BlockInputs::kFloat
                                                                      : worker::BlockInputs::kInt8,
                      .bf16_inputs = options.bf16_inputs == "bf16" ? worker::Bf16Inputs::kBf16
                                                                   : worker::Bf16Inputs::kFloat,
                      .step_tokens = options.step_tokens,
                      .sequences = run.sequences,
                      .positions = run.positions()});
    }
};

// One line, and {kernel: share of all threads' time}.
Result<json> divide(const Bench& bench, const ModelRun& run, KvType kv_type,
                    const kernels::KernelTable& table) {
    const kernels::KernelTable timed = timed_kernels(table);
    BITNETD_ASSIGN(const auto model, bench.model(run, kv_type, timed));
    BITNETD_ASSIGN(const auto shares, divide_run(model->runner(), run, bench.pool.threads()));
    json out = json::object();
    double rest = 1;
    std::printf("    ");
    for (const KernelShare& share : shares) {
        out[share.entry] = share.share;
        rest -= share.share;
        if (share.share >= 0.001) std::printf("%s %.1f %%, ", share.entry, 100 * share.share);
    }
    std::printf("waiting, drawing and the rest %.1f %%\n", 100 * rest);
    return out;
}

Result<json> measure(Bench& bench, const ModelRun& run, KvType kv_type,
                     const kernels::KernelTable& table) {
    const Options& options = bench.options;
    RunTimes times;
    double others = 0;
    std::string ternary_ways;
    {
        BITNETD_ASSIGN(const auto model, bench.model(run, kv_type, table));
        ternary_ways = model->ternary_ways();
        const OtherLoad load;
        BITNETD_ASSIGN(times, time_run(model->runner(), run, options.repeat));
        others = load.share();
    }
    const MachineLimits before = std::exchange(bench.limits, measure_machine(bench.pool, 3));
    const MachineLimits limits = between(before, bench.limits);
    const TokenCosts costs = token_costs(costs_of(bench.weights), run, options.step_tokens);
    const auto rate = bench.shape.is_int8() ? int8_gmac_s(limits, table.name) : std::nullopt;
    const auto limit = token_limit(costs, run, limits.read_gb_s.median, rate);
    json out = report(options, run, kv_type, table.name, times, costs, limit, others);
    out["read_gb_s"] = limits.read_gb_s.median;
    out["ternary_ways"] = ternary_ways;
    if (options.parts) std::printf("    ternary products by rows: %s\n", ternary_ways.c_str());
    if (options.parts) {
        BITNETD_ASSIGN(out["parts"], divide(bench, run, kv_type, table));
    }
    return out;
}

Result<json> measure_all(Bench bench) {
    BITNETD_ASSIGN(const auto runs, parse_runs(bench.options.runs));
    BITNETD_ASSIGN(const auto tables, tables_of(bench.options.isa));
    BITNETD_ASSIGN(const auto kv_types, kv_types_of(bench.options.kv_types));
    json results = json::array();
    print_head();
    for (const kernels::KernelTable* table : tables) {
        for (const ModelRun& run : runs) {
            for (const KvType kv_type : kv_types) {
                BITNETD_ASSIGN(json result, measure(bench, run, kv_type, *table));
                results.push_back(std::move(result));
            }
        }
    }
    return results;
}

// Each result that both have: tokens/s then and now, and their ratio; the same of the shares of the
// limits, because machines differ.
Result<void> compare(const std::string& path, const json& results) {
    std::ifstream in(path);
    const json old = json::parse(in, nullptr, false);
    if (!old.is_object() || !old.contains("results") || !old["results"].is_array()) {
        return invalid(path + " has no results: expected a file that --json wrote");
    }
    std::printf("\n%-11s %-9s %-4s %-14s %10s %10s %7s %22s\n", "isa", "run", "kv", "shape", "then",
                "now", "ratio", "of limit, then -> now");
    const auto key = [](const json& result) {
        return result.value("name", "") + " " + result.value("shape", "") + " " +
               result.value("isa", "") + " " + result.value("kv", "f32");
    };
    const auto percent = [](const json& result) {
        const auto found = result.find("of_limit");
        return found != result.end() && found->is_number() ? 100 * found->get<double>() : 0.0;
    };
    for (const json& now : results) {
        for (const json& then : old["results"]) {
            if (!then.is_object() || key(then) != key(now)) continue;
            const double before = then.value("tokens_s", 0.0), after = now.value("tokens_s", 0.0);
            std::printf("%-11s %-9s %-4s %-14s %10.2f %10.2f %7.2f %8.1f %% -> %6.1f %%\n",
                        now.value("isa", "").c_str(), now.value("name", "").c_str(),
                        now.value("kv", "").c_str(), now.value("shape", "").c_str(), before, after,
                        before > 0 ? after / before : 0, percent(then), percent(now));
        }
    }
    return {};
}

Result<void> run(const Options& options) {
    BITNETD_ASSIGN(const ModelShape shape, shape_of(options));
    BITNETD_ASSIGN(const auto pool, make_bench_pool(options.threads));
    const MachineLimits limits = measure_machine(*pool, 5);
    print(limits);
    std::printf("\n");
    BITNETD_ASSIGN(const auto weights, make_weights(options, shape));
    if (options.repeat == 0) return {};
    BITNETD_ASSIGN(const json results,
                   measure_all({options, shape, weights.view(), *pool, limits}));
    if (!options.compare_path.empty()) BITNETD_TRY(compare(options.compare_path, results));
    if (options.json_path.empty()) return {};
    return write_json(options.json_path, {{"machine", to_json(limits)}, {"results", results}});
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    CLI::App app("measures whole models with random weights beside what the machine allows");
    app.option_defaults()->always_capture_default();
    app.add_option("--shape", options.shape, shape_names());
    app.add_option("--run", options.runs,
                   "ppN: prompt; tgN: one sequence; tgN@P: behind P ids; bN: N sequences");
    app.add_option("--isa", options.isa, "kernel tables: auto, all, or names with commas");
    app.add_option("--threads", options.threads, "0: one per core")->check(CLI::Range(0, 4096));
    app.add_option("--repeat", options.repeat, "runs of each; 0: only make the model")
        ->check(CLI::Range(0, 1000));
    app.add_option("--layers", options.layers, "fewer layers; 0: the shape's")
        ->check(CLI::Range(0, 512));
    app.add_option("--kv", options.kv_types, "keys and values: all, or f32, f16, int8 with commas");
    app.add_option("--block-inputs", options.block_inputs, "as worker.block_inputs")
        ->check(CLI::IsMember({"int8", "float"}));
    app.add_option("--bf16-inputs", options.bf16_inputs, "as worker.bf16_inputs")
        ->check(CLI::IsMember({"float", "bf16"}));
    app.add_option("--step-tokens", options.step_tokens, "rows of a step at most")
        ->check(CLI::Range(16, 8192));
    app.add_flag("--parts", options.parts, "also the share of each kernel, in one more run");
    app.add_option("--write", options.write_path, "leaves the model as GGUF here, to be served");
    app.add_option("--json", options.json_path, "writes {machine, results} here");
    app.add_option("--compare", options.compare_path, "a file that --json wrote: prints ratios");
    CLI11_PARSE(app, argc, argv);
    log::init("bench", log::Level::kWarn, log::Format::kText);
    if (const auto done = run(options); !done.ok()) {
        std::fprintf(stderr, "bench_model: %s\n", done.error().message.c_str());
        return 1;
    }
    return 0;
}
