// What was measured, for people and for programs. All latencies are in milliseconds.
#pragma once

#include <cstdio>
#include <nlohmann/json.hpp>

#include "tests/bench/serve/machine_watch.h"
#include "tests/bench/serve/same_texts.h"
#include "tests/bench/serve/stage.h"
#include "tests/bench/serve/stage_statistics.h"

namespace bitnetd::bench {

struct StageReport {
    Stage stage;
    StageStatistics statistics;
    MachineUse machine;
};

void print_stage(std::FILE* out, const StageReport& report, bool retries_are_on);
void print_same(std::FILE* out, const SameTexts& same);

nlohmann::json stage_json(const StageReport& report);
nlohmann::json same_json(const SameTexts& same);

}  // namespace bitnetd::bench
