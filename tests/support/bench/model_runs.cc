#include "tests/support/bench/model_runs.h"

#include <charconv>

#include "common/base/clock.h"
#include "common/base/quote.h"
#include "tests/support/bench/timed_kernels.h"

namespace bitnetd::bench {
namespace {

constexpr uint32_t kBatchPrompt = 16;
constexpr uint32_t kBatchDrawn = 32;
constexpr uint32_t kCountMax = 65'536;

// 1 .. kCountMax as digits and nothing else; 0 when it is not that.
uint32_t parse_count(std::string_view digits) {
    uint32_t count = 0;
    const char* const end = digits.data() + digits.size();
    const auto parsed = std::from_chars(digits.data(), end, count);
    return parsed.ptr == end && count <= kCountMax ? count : 0;
}

Result<ModelRun> parse_run(std::string_view name) {
    const size_t at = name.find('@');
    const std::string_view what = name.substr(0, at);
    const std::string_view kind = what.substr(0, what.find_first_of("0123456789"));
    const uint32_t count = parse_count(what.substr(kind.size()));
    const bool has_prompt = at != name.npos && kind == "tg";
    const uint32_t prompt = has_prompt ? parse_count(name.substr(at + 1)) : 1;
    const bool known = kind == "pp" || kind == "tg" || kind == "b";
    if (!known || count == 0 || prompt == 0 || (at != name.npos && !has_prompt)) {
        return invalid("run " + quote(name) +
                       ": expected ppN, tgN, tgN@P or bN, N and P from 1 to 65536");
    }
    if (kind == "pp") return ModelRun{std::string(name), ModelRun::Kind::kPrompt, 1, count, 0};
    if (kind == "tg") return ModelRun{std::string(name), ModelRun::Kind::kDecode, 1, prompt, count};
    return ModelRun{std::string(name), ModelRun::Kind::kDecode, count, kBatchPrompt, kBatchDrawn};
}

class Stopwatch {
  public:
    double seconds() const { return static_cast<double>(monotonic_ns() - start_ns_) / 1e9; }

  private:
    uint64_t start_ns_ = monotonic_ns();
};

// What comes before the timed part: all of a prompt run is timed, and of a decode what follows the
// prompts.
Result<void> begin_run(ModelRunner& runner, const ModelRun& run) {
    runner.begin(run.sequences, run.prompt);
    return run.kind == ModelRun::Kind::kPrompt ? Result<void>() : runner.prefill();
}

// The seconds of the timed part.
Result<double> time_once(ModelRunner& runner, const ModelRun& run) {
    const Stopwatch watch;
    BITNETD_TRY(run.kind == ModelRun::Kind::kPrompt ? runner.prefill() : runner.decode(run.drawn));
    return watch.seconds();
}

}  // namespace

Result<std::vector<ModelRun>> parse_runs(std::string_view names) {
    std::vector<ModelRun> runs;
    while (!names.empty()) {
        const size_t comma = names.find(',');
        BITNETD_ASSIGN(auto run, parse_run(names.substr(0, comma)));
        runs.push_back(std::move(run));
        names = comma == names.npos ? std::string_view() : names.substr(comma + 1);
    }
    return runs;
}

Result<RunTimes> time_run(ModelRunner& runner, const ModelRun& run, int repeat) {
    RunTimes times;
    const bool is_decode = run.kind == ModelRun::Kind::kDecode;
    for (int i = 0; i < repeat; ++i) {
        if (i > 0 && is_decode) {
            runner.rewind(run.drawn);  // the prompts stay
        } else {
            BITNETD_TRY(begin_run(runner, run));
        }
        BITNETD_ASSIGN(const double seconds, time_once(runner, run));
        times.seconds.push_back(seconds);
    }
    if (is_decode) {
        const Stopwatch watch;
        runner.repeat_layers(run.drawn);
        times.layers_seconds = watch.seconds();
    }
    return times;
}

Result<std::vector<KernelShare>> divide_run(ModelRunner& runner, const ModelRun& run, int threads) {
    BITNETD_TRY(begin_run(runner, run));
    reset_kernel_times();
    BITNETD_ASSIGN(const double seconds, time_once(runner, run));
    std::vector<KernelShare> shares;
    for (const KernelTime& time : kernel_times())
        shares.push_back({time.entry, static_cast<double>(time.ns) / 1e9 / (seconds * threads)});
    return shares;
}

TokenCosts token_costs(const StepCosts& costs, const ModelRun& run, uint32_t step_tokens) {
    const double tokens = run.tokens();
    const bool is_prompt = run.kind == ModelRun::Kind::kPrompt;
    const uint32_t rows = is_prompt ? run.prompt : run.sequences;
    const double steps = (rows + step_tokens - 1) / step_tokens * (is_prompt ? 1 : run.drawn);
    const double draws = is_prompt ? 1 : tokens;
    const double outputs_read = is_prompt ? 1 : steps;
    return {
        .bytes = (steps * costs.layer_bytes + outputs_read * costs.output_bytes) / tokens,
        .multiply_adds = costs.layer_multiply_adds + draws * costs.output_multiply_adds / tokens};
}

std::optional<TokenLimit> token_limit(const TokenCosts& costs, const ModelRun& run,
                                      double read_gb_s, std::optional<double> int8_gmac_s) {
    const double by_read = read_gb_s * 1e9 / costs.bytes;
    if (run.kind == ModelRun::Kind::kDecode && run.sequences == 1) {
        return TokenLimit{by_read, "read"};
    }
    if (!int8_gmac_s) return std::nullopt;
    const double by_int8 = *int8_gmac_s * 1e9 / costs.multiply_adds;
    return by_int8 < by_read ? TokenLimit{by_int8, "int8"} : TokenLimit{by_read, "read"};
}

}  // namespace bitnetd::bench
