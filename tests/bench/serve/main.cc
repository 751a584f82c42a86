// Goal: what users of bitnetd see when 1 to 1000 and more of them are there: throughput, time to
// the first token, between tokens, to the end; who is refused, how fast, and whether coming back
// when told to works; whether all get their share, and the same text whoever else is there. Method:
// closed loops (each client waits for its answer) and open loops (requests arrive at a rate,
// whatever becomes of them; latencies count from when they were due), in one thread beside the
// server. Lengths, prompts and arrivals come from a seed. Nothing asserts a time; the exit status
// is 1 when a request got no proper answer or a text differed.
//     bench_serve --clients 100 --rates 0.9x,4x --retry 3; --help has the rest
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "tests/bench/serve/generator.h"
#include "tests/bench/serve/http_get.h"
#include "tests/bench/serve/options.h"
#include "tests/bench/serve/report.h"
#include "tests/bench/serve/server_process.h"

namespace {

using namespace bitnetd;
using namespace bitnetd::bench;

volatile sig_atomic_t interrupted = 0;

void raise_file_limit() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

// Beside this program, unless the environment says where.
std::string bitnetd_path() {
    const char* folder = std::getenv("BITNETD_BIN");
    if (folder != nullptr) return std::string(folder) + "/bitnetd";
    std::error_code error;
    return std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / "bitnetd";
}

Result<std::unique_ptr<ServerProcess>> start_server(const CommandLine& line) {
    ServerProcess::Options options;
    options.program = bitnetd_path();
    options.model = line.model.empty() ? "demo=" BITNETD_SOURCE_DIR
                                         "/tests/golden/demo-model/bitnet-tiny-stories-5m-i2_s.gguf"
                                       : line.model;
    options.flags = split(line.server_flags, ' ');
    options.unix_socket = line.transport == "unix";
    return ServerProcess::start(options);
}

// One line on the terminal, written over and over.
class ProgressLine {
  public:
    void show(const Stage& stage, const StageStatistics& statistics, uint64_t now_ns,
              uint64_t in_flight) {
        constexpr uint64_t kEveryNs = 2 * kNsPerS;
        if (!is_terminal_ || now_ns < last_ns_ + kEveryNs) return;
        last_ns_ = now_ns;
        std::fprintf(
            stderr,
            "\r\033[K%s: %llu answered, %llu refused, %llu errors, %llu in flight; first text "
            "p50 %.1f ms p99 %.1f ms",
            stage.name.c_str(), static_cast<unsigned long long>(statistics.answered),
            static_cast<unsigned long long>(statistics.refused),
            static_cast<unsigned long long>(statistics.errors),
            static_cast<unsigned long long>(in_flight), statistics.first_text.percentile_ms(0.5),
            statistics.first_text.percentile_ms(0.99));
    }
    void clear() {
        if (is_terminal_) std::fprintf(stderr, "\r\033[K");
    }

  private:
    const bool is_terminal_ = isatty(STDERR_FILENO) == 1;
    uint64_t last_ns_ = 0;
};

// All stages of one command, on one server.
class Bench {
  public:
    Bench(const CommandLine& line, const Address& address, pid_t server_pid, ServerProcess* own,
          RequestPlan plan)
        : line_(line),
          server_pid_(server_pid),
          own_(own),
          maker_(std::move(plan)),
          same_(line.check_same),
          generator_(
              address, maker_, same_,
              {line.retries, static_cast<uint64_t>(line.patience_s * 1e9), line.connections_max}) {}

    Result<void> run(const std::vector<uint32_t>& clients, const std::vector<Rate>& rates) {
        double capacity_s = 0;
        for (const uint32_t count : clients) {
            Stage stage = common_stage();
            stage.name = "closed loop, " + std::to_string(count) + " clients";
            stage.clients = count;
            BITNETD_TRY(run_stage(stage));
            capacity_s = std::max(capacity_s, reports_.back().statistics.answers_s());
        }
        for (const Rate& rate : rates) {
            if (rate.of_capacity && capacity_s == 0) {
                return invalid(
                    "no request was answered: there is no capacity to take a multiple of");
            }
            Stage stage = common_stage();
            stage.rate_s = rate.value * (rate.of_capacity ? capacity_s : 1);
            char text[100];
            std::snprintf(text, sizeof text, "open loop, %.1f requests/s", stage.rate_s);
            stage.name = text;
            if (rate.of_capacity) {
                std::snprintf(text, sizeof text, " = %.3g x the capacity", rate.value);
                stage.name += text;
            }
            BITNETD_TRY(run_stage(stage));
        }
        print_same(stdout, same_);
        return {};
    }

    bool is_clean() const {
        const bool has_errors =
            std::any_of(reports_.begin(), reports_.end(),
                        [](const auto& report) { return report.statistics.errors > 0; });
        return !has_errors && same_.differences() == 0;
    }

    nlohmann::json json() const {
        auto stages = nlohmann::json::array();
        for (const StageReport& report : reports_)
            stages.push_back(stage_json(report));
        const RequestPlan& plan = maker_.plan();
        return {{"model", plan.model},
                {"context", plan.context},
                {"prompt_tokens", plan.prompt_tokens.text()},
                {"output_tokens", plan.output_tokens.text()},
                {"shared_prefix", plan.shared_prefix},
                {"stream", plan.stream},
                {"seed", plan.seed},
                {"stages", stages},
                {"same_texts", same_.is_on() ? same_json(same_) : nlohmann::json()}};
    }

  private:
    Stage common_stage() const {
        Stage stage;
        stage.think_ns = static_cast<uint64_t>(line_.think_ms * 1e6);
        stage.warmup_ns = static_cast<uint64_t>(line_.warmup_s * 1e9);
        stage.duration_ns = static_cast<uint64_t>(line_.duration_s * 1e9);
        stage.requests = line_.requests;
        stage.seed = line_.seed;
        return stage;
    }

    Result<void> run_stage(const Stage& stage) {
        if (interrupted != 0) return {};
        MachineWatch watch(server_pid_, stage.duration_ns);
        ProgressLine progress;
        bool server_died = false;
        const auto on_tick = [&](const StageStatistics& statistics, uint64_t now_ns,
                                 uint64_t in_flight) {
            watch.tick(now_ns);
            progress.show(stage, statistics, now_ns, in_flight);
            server_died = own_ != nullptr && !own_->is_running();
            return interrupted == 0 && !server_died;
        };
        BITNETD_ASSIGN(StageStatistics statistics, generator_.run(stage, on_tick));
        progress.clear();
        reports_.push_back({stage, std::move(statistics), watch.end()});
        print_stage(stdout, reports_.back(), line_.retries > 0);
        if (server_died) return own_->stop();  // says how it ended
        return {};
    }

    const CommandLine& line_;
    const pid_t server_pid_;
    ServerProcess* const own_;  // null: --url
    RequestMaker maker_;
    SameTexts same_;
    Generator generator_;
    std::vector<StageReport> reports_;
};

Result<bool> measure(const CommandLine& line) {
    BITNETD_ASSIGN(const std::vector<Rate> rates, rates_of(line));
    BITNETD_ASSIGN(RequestPlan plan, plan_of(line));
    std::unique_ptr<ServerProcess> own;
    Address address;
    if (line.url.empty()) {
        BITNETD_ASSIGN(own, start_server(line));
        address = own->address();
    } else {
        BITNETD_ASSIGN(address, Address::parse(line.url));
    }
    BITNETD_ASSIGN(const ServedModel model, find_model(address, line.model_id));
    plan.model = model.id;
    plan.context = model.context;
    plan.host = address.host();
    std::printf("%s, model %s, context %u; prompts %s, answers %s tokens\n", address.text().c_str(),
                model.id.c_str(), model.context, line.prompt_tokens.c_str(),
                line.output_tokens.c_str());
    Bench bench(line, address, own ? own->pid() : line.server_pid, own.get(), std::move(plan));
    BITNETD_TRY(bench.run(clients_of(line, rates), rates));
    if (own) BITNETD_TRY(own->stop());
    if (!line.json_path.empty()) {
        std::ofstream out(line.json_path);
        out << bench.json().dump(2) << "\n";
        if (!out.flush()) return io_error("write " + line.json_path, errno);
    }
    return bench.is_clean();
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app{"users of a server: closed and open loops, latencies, refusals, fairness"};
    CommandLine line;
    line.add_to(app);
    CLI11_PARSE(app, argc, argv);
    signal(SIGINT, [](int) { interrupted = 1; });
    signal(SIGTERM, [](int) { interrupted = 1; });
    raise_file_limit();
    const Result<bool> clean = measure(line);
    if (!clean) {
        std::fprintf(stderr, "bench_serve: %s\n", clean.error().message.c_str());
        return 2;
    }
    return *clean ? 0 : 1;
}
