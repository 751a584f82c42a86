#include "tests/bench/serve/report.h"

#include <algorithm>

namespace bitnetd::bench {
namespace {

constexpr double kMib = 1024.0 * 1024.0;

double percent(uint64_t part, uint64_t whole) {
    return whole == 0 ? 0 : 100 * static_cast<double>(part) / static_cast<double>(whole);
}

unsigned long long number(uint64_t value) {
    return value;
}

void print_latency(std::FILE* out, const char* name, const Histogram& values) {
    if (values.count() == 0) return;
    std::fprintf(out, "  %-18s %9.2f %9.2f %9.2f %9.2f   %llu\n", name, values.percentile_ms(0.5),
                 values.percentile_ms(0.9), values.percentile_ms(0.99), values.max_ms(),
                 number(values.count()));
}

void print_table(std::FILE* out, const char* name, const std::map<std::string, uint64_t>& reasons) {
    for (const auto& [reason, count] : reasons)
        std::fprintf(out, "  %-18s %llu x %s\n", name, number(count), reason.c_str());
}

void print_refusals(std::FILE* out, const StageStatistics& s, bool retries_are_on) {
    std::fprintf(out, "  %-18s %llu answered, %llu refused (%.1f %%), %llu errors\n", "requests",
                 number(s.answered), number(s.refused),
                 percent(s.refused, s.answered + s.refused + s.failed), number(s.errors));
    print_table(out, "refused", s.refusals);
    print_table(out, "ERROR", s.reasons);
    const RetryCounts& r = s.retry;
    if (!retries_are_on || r.refused_first == 0) return;
    std::fprintf(out,
                 "  %-18s %.1f %% of %llu first retries accepted; %llu gave up, %llu were told to "
                 "come after the end\n",
                 "obeyed Retry-After", percent(r.accepted_first, r.retried_first),
                 number(r.retried_first), number(r.given_up), number(r.cut));
}

void print_fairness(std::FILE* out, const StageReport& report) {
    const StageStatistics& s = report.statistics;
    if (s.first_text.count() > 0) {
        std::fprintf(out, "  %-18s max first text / median %.2f", "fairness",
                     s.first_text_spread());
        if (!report.stage.is_open()) {
            std::fprintf(out, "; Jain's index of tokens per client %.4f", s.client_fairness());
        }
        std::fprintf(out, "\n");
    }
    for (const ClassStatistics& c : s.classes) {
        std::fprintf(
            out,
            "  %-18s first text p50 %.2f p99 %.2f max %.2f; whole answer per token p50 %.2f "
            "p99 %.2f\n",
            ("  " + c.name).c_str(), c.first_text.percentile_ms(0.5),
            c.first_text.percentile_ms(0.99), c.first_text.max_ms(), c.per_token.percentile_ms(0.5),
            c.per_token.percentile_ms(0.99));
    }
}

void print_machine(std::FILE* out, const MachineUse& use) {
    if (!use.memory_bytes.empty()) {
        const auto& bytes = use.memory_bytes;
        std::fprintf(out,
                     "  %-18s %.1f MiB at the begin, %.1f in the middle, %.1f at the end, %.1f at "
                     "most\n",
                     "memory (PSS)", static_cast<double>(bytes.front()) / kMib,
                     static_cast<double>(bytes[bytes.size() / 2]) / kMib,
                     static_cast<double>(bytes.back()) / kMib,
                     static_cast<double>(*std::max_element(bytes.begin(), bytes.end())) / kMib);
    }
    std::fprintf(out, "  %-18s", "cores busy");
    for (const auto& [name, cores] : use.server_cores)
        std::fprintf(out, " %s %.2f,", name.c_str(), cores);
    std::fprintf(out, " generator %.2f, others %.2f, of %d\n", use.generator_cores, use.other_cores,
                 use.cores);
}

nlohmann::json latency_json(const Histogram& values) {
    return {{"count", values.count()},
            {"mean", values.mean_ms()},
            {"min", values.min_ms()},
            {"p50", values.percentile_ms(0.5)},
            {"p90", values.percentile_ms(0.9)},
            {"p99", values.percentile_ms(0.99)},
            {"p999", values.percentile_ms(0.999)},
            {"max", values.max_ms()}};
}

nlohmann::json classes_json(const StageStatistics& s) {
    auto classes = nlohmann::json::object();
    for (const ClassStatistics& c : s.classes) {
        classes[c.name] = {{"first_text_ms", latency_json(c.first_text)},
                           {"whole_per_token_ms", latency_json(c.per_token)}};
    }
    return classes;
}

nlohmann::json retry_json(const RetryCounts& r) {
    return {{"refused_first", r.refused_first},
            {"retried_first", r.retried_first},
            {"accepted_first", r.accepted_first},
            {"given_up", r.given_up},
            {"cut", r.cut}};
}

nlohmann::json machine_json(const MachineUse& use) {
    return {{"seconds", use.seconds},
            {"cores", use.cores},
            {"generator_cores", use.generator_cores},
            {"other_cores", use.other_cores},
            {"server_cores", use.server_cores},
            {"memory_pss_bytes", use.memory_bytes}};
}

}  // namespace

void print_stage(std::FILE* out, const StageReport& report, bool retries_are_on) {
    const StageStatistics& s = report.statistics;
    std::fprintf(out, "\n%s, %.1f s\n", report.stage.name.c_str(), s.seconds());
    std::fprintf(
        out, "  %-18s %.1f requests/s, %.0f output tokens/s, %.0f prompt tokens/s (%.0f cached)\n",
        "throughput", s.answers_s(), s.output_tokens_s(), s.prompt_tokens_s(), s.cached_tokens_s());
    print_refusals(out, s, retries_are_on);
    std::fprintf(out, "  %-18s %9s %9s %9s %9s   of\n", "ms", "p50", "p90", "p99", "max");
    print_latency(out, "first text (TTFT)", s.first_text);
    print_latency(out, "between events", s.gaps);
    print_latency(out, "per token", s.per_token);
    print_latency(out, "whole answer", s.whole);
    print_latency(out, "to refuse", s.refuse);
    print_latency(out, "generator late", s.late);
    print_fairness(out, report);
    std::fprintf(out, "  %-18s %llu requests at most, %llu of them streaming\n", "open at once",
                 number(s.in_flight_max), number(s.streaming_max));
    print_machine(out, report.machine);
    std::fflush(out);
}

void print_same(std::FILE* out, const SameTexts& same) {
    if (!same.is_on()) return;
    std::fprintf(out, "\nsame request, same text: %llu answers compared, %llu differ\n",
                 number(same.compared()), number(same.differences()));
    if (same.differences() > 0) {
        std::fprintf(out, "  first difference: %s\n", same.first_difference().c_str());
    }
}

nlohmann::json stage_json(const StageReport& report) {
    const StageStatistics& s = report.statistics;
    const Stage& stage = report.stage;
    return {{"name", stage.name},
            {"loop", stage.is_open() ? "open" : "closed"},
            {"clients", stage.clients},
            {"rate_s", stage.rate_s},
            {"seconds", s.seconds()},
            {"requests_s", s.answers_s()},
            {"output_tokens_s", s.output_tokens_s()},
            {"prompt_tokens_s", s.prompt_tokens_s()},
            {"cached_tokens_s", s.cached_tokens_s()},
            {"answered", s.answered},
            {"refused", s.refused},
            {"failed", s.failed},
            {"errors", s.errors},
            {"refusals", s.refusals},
            {"error_reasons", s.reasons},
            {"retry", retry_json(s.retry)},
            {"output_tokens", s.output_tokens_counted},
            {"text_events", s.text_events},
            {"in_flight_max", s.in_flight_max},
            {"streaming_max", s.streaming_max},
            {"first_text_ms", latency_json(s.first_text)},
            {"between_events_ms", latency_json(s.gaps)},
            {"per_token_ms", latency_json(s.per_token)},
            {"whole_ms", latency_json(s.whole)},
            {"refuse_ms", latency_json(s.refuse)},
            {"late_ms", latency_json(s.late)},
            {"first_text_max_over_median", s.first_text_spread()},
            {"client_fairness",
             stage.is_open() ? nlohmann::json() : nlohmann::json(s.client_fairness())},
            {"classes", classes_json(s)},
            {"machine", machine_json(report.machine)}};
}

nlohmann::json same_json(const SameTexts& same) {
    return {{"compared", same.compared()},
            {"differences", same.differences()},
            {"first_difference", same.first_difference()}};
}

}  // namespace bitnetd::bench
