// The runs that are measured, how each is timed, and what it could be at most.
//   ppN   a prompt of N ids: the ids computed per second
//   tgN   one sequence that N ids are drawn for, from an empty context: the ids drawn per second
//   tgN@P the same behind a prompt of P ids
//   bN    N sequences with prompts of 16 ids, 32 drawn for each: all ids drawn per second
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "tests/support/bench/model_runner.h"
#include "tests/support/bench/packed_file.h"
#include "tests/support/machine/machine_limits.h"

namespace bitnetd::bench {

struct ModelRun {
    enum class Kind : uint8_t { kPrompt, kDecode };

    std::string name;
    Kind kind;
    uint32_t sequences;
    uint32_t prompt;  // ids of each sequence
    uint32_t drawn;   // ids of each sequence that are timed; 0: the prompt is

    uint32_t positions() const { return prompt + drawn + 1; }
    uint32_t tokens() const { return kind == Kind::kPrompt ? prompt : sequences * drawn; }
};

// "pp128,tg128,tg32@2048,b8". N and P are 1 .. 65536.
Result<std::vector<ModelRun>> parse_runs(std::string_view names);

// A run's seconds, `repeat` times; and once, of decoding, what the layers alone took.
struct RunTimes {
    std::vector<double> seconds;
    std::optional<double> layers_seconds;
};
Result<RunTimes> time_run(ModelRunner& runner, const ModelRun& run, int repeat);

// How a run's time divides among the kernels of the table that `runner` was made with, which is a
// timed one: of each the share of all threads' time, the longest first.
struct KernelShare {
    const char* entry;
    double share;
};
Result<std::vector<KernelShare>> divide_run(ModelRunner& runner, const ModelRun& run, int threads);

// Per token: the weights that must be read once in each step, whoever shares it; 8-bit
// multiply-adds. Keys and values are left out.
struct TokenCosts {
    double bytes;
    double multiply_adds;
};
TokenCosts token_costs(const StepCosts& costs, const ModelRun& run, uint32_t step_tokens);

// Tokens per second that this machine allows, and by what: "read" or "int8".
struct TokenLimit {
    double tokens_s;
    const char* by;
};
// Decoding one sequence waits for memory alone; nothing where the arithmetic has no measured rate
// (int8_gmac_s absent).
std::optional<TokenLimit> token_limit(const TokenCosts& costs, const ModelRun& run,
                                      double read_gb_s, std::optional<double> int8_gmac_s);

}  // namespace bitnetd::bench
