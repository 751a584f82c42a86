// Goal: status, top, models and rollouts are shown as they are, by any server's version, and never
// speak to the terminal.
// Method: one full status as the server sends it; the same with parts missing or of wrong types.
#include <gtest/gtest.h>

#include <algorithm>

#include "supervisor/ctl/rollout_view.h"
#include "supervisor/ctl/status_view.h"
#include "supervisor/ctl/table.h"
#include "supervisor/ctl/top_view.h"

namespace bitnetd::supervisor {
namespace {

Json rollout(const char* status) {
    return {{"id", "rollout-7"},   {"kind", "swap"},
            {"model", "demo"},     {"phase", "canary_copies"},
            {"status", status},    {"progress", 0.4},
            {"reason", ""},        {"started_unix_ms", 1'000'000},
            {"ended_unix_ms", 0},  {"prepare_ms", 2'100},
            {"verify_ms", 400},    {"canary_ms", 0},
            {"roll_ms", 0},        {"rollback_ms", 0},
            {"canary_copies", 12}, {"canary_different", 0},
            {"speed_ratio", 1.02}, {"accuracy", 0.99911}};
}

Json worker() {
    return {{"name", "worker/0"},
            {"role", "worker"},
            {"slot", 0},
            {"pid", 812},
            {"incarnation", 5},
            {"state", "ready"},
            {"device", "cpu"},
            {"isa", "avx512vnni"},
            {"model", "demo"},
            {"model_key", 1},
            {"uptime_ms", 61'000},
            {"heartbeat_age_ms", 120},
            {"deaths", 2},
            {"cpu_ns", 5'000'000'000},
            {"resident_bytes", 1'550'000'000},
            {"slots_used", 3},
            {"slots_max", 128},
            {"kv_pages_used", 50},
            {"kv_pages", 200},
            {"counters",
             {{"bitnet_decode_tokens_total", 1'000}, {"bitnet_prefill_tokens_total", 400}}}};
}

Json frontend() {
    return {{"name", "frontend/0"},
            {"incarnation", 4},
            {"state", "ready"},
            {"pid", 811},
            {"uptime_ms", 62'000},
            {"cpu_ns", 1'000'000'000},
            {"counters", {{"bitnet_http_requests_2xx_total", 100}}},
            {"gauges",
             {{"bitnet_active_requests", 3},
              {"bitnet_queue_depth", 1},
              {"bitnet_connections_open", 17}}}};
}

Json full_status() {
    return {{"version", "0.1.0"},
            {"pid", 800},
            {"uptime_ms", 90'061'000},
            {"state", "serving"},
            {"health",
             {{"workers_expected", 2},
              {"workers_restarting", 1},
              {"models_loading", 1},
              {"reason", "worker/1 died of SIGSEGV"}}},
            {"models",
             {{{"id", "demo"},
               {"key", 1},
               {"standing", "serving"},
               {"default", true},
               {"path", "/m/demo.gguf"},
               {"architecture", "bitnet-b1.58"},
               {"quantization", "I2_S"},
               {"digest", "0123456789abcdef0123"},
               {"parameters", 2'410'000'000},
               {"context", 4096},
               {"weights_bytes", 1'180'000'000}},
              {{"id", "bad"}, {"standing", "refused"}, {"path", "/m/b"}, {"refusal", "no magic"}}}},
            {"processes", {frontend(), worker()}},
            {"rollout", rollout("running")},
            {"rollouts", Json::array()}};
}

TEST(StatusView, TellsWhatAGpuDoes) {
    Json process = worker();
    process["last_end"] = "";
    EXPECT_EQ(process_notes(process), "");
    process["gauges"] = {{"bitnet_gpu_memory_bytes", 85'900'000'000},
                         {"bitnet_gpu_memory_used_bytes", 38'200'000'000},
                         {"bitnet_gpu_temperature_celsius", 63},
                         {"bitnet_gpu_power_watts", 412.3},
                         {"bitnet_gpu_utilisation_ratio", 0.97}};
    EXPECT_EQ(process_notes(process), "63 C, 412 W, 38.2 GB of 85.9 GB, 97 %");
}

TEST(StatusView, TellsWhatThereIs) {
    EXPECT_EQ(status_text(full_status()),
              "bitnetd 0.1.0, pid 800, up 1d 01:01, serving\n"
              "not well: 1 of 2 workers restarting, 1 model loading, worker/1 died of SIGSEGV\n"
              "\n"
              "MODEL   STANDING  ARCHITECTURE  TYPE  PARAMETERS  CONTEXT  WEIGHTS  KEY  DIGEST    "
              "    PATH\n"
              "demo *  serving   bitnet-b1.58  I2_S      2.41 G     4096  1.18 GB    1  "
              "0123456789ab  /m/demo.gguf\n"
              "bad     refused                                                  0                "
              "     /m/b: no magic\n"
              "\n"
              "PROCESS     STATE  PID    UP  MODEL  DEVICE          SLOTS    KV   MEMORY  DEATHS  "
              "NOTES\n"
              "frontend/0  ready  811  62 s                                            0\n"
              "worker/0    ready  812  61 s  demo   cpu avx512vnni  3/128  25 %  1.55 GB       2\n"
              "\n"
              "rollout-7 swap demo: canary_copies, 40 % (prepare 2.10 s, verify 0.40 s); 12 canary "
              "copies, speed 1.02 of the old one's, accuracy 0.99911\n");
    EXPECT_EQ(model_status_text({{"models", Json::array()}}), "no models\n");
}

TEST(StatusView, NotesAreWhatIsOutOfTheOrdinary) {
    Json process = worker();
    EXPECT_EQ(process_notes(process), "");
    process.update({{"canary", true},
                    {"old", true},
                    {"breaker_open", true},
                    {"restart_in_ms", 30'000},
                    {"heartbeat_age_ms", 5'000},
                    {"last_end", "SIGSEGV"}});
    EXPECT_EQ(
        process_notes(process),
        "canary, old, breaker open, restarts in 30 s, no heartbeat for 5.00 s, last: SIGSEGV");
}

TEST(TopView, ShowsRatesBetweenTwoSnapshots) {
    const Json before = full_status();
    Json now = before;
    Json& worker_now = now["processes"][1];
    worker_now["cpu_ns"] = 8'000'000'000;
    worker_now["counters"]["bitnet_decode_tokens_total"] = 1'250;
    now["processes"][0]["counters"]["bitnet_http_requests_2xx_total"] = 140;
    const std::string text = top_text(now, before, 2.0);
    EXPECT_NE(text.find("3 generations, 1 queued, 0 running; 17 connections\n"), text.npos) << text;
    EXPECT_NE(text.find("20 requests/s, 125 tokens/s drawn, 0 tokens/s of prompts, 0 refused/s\n"),
              text.npos)
        << text;
    EXPECT_NE(text.find("150 %"), text.npos) << text;
    EXPECT_EQ(text.find("\x1b"), text.npos);
}

TEST(TopView, NoRatesWithoutABeforeOrOfAnotherIncarnation) {
    const Json before = full_status();
    EXPECT_EQ(top_text(before, Json::object(), 1).find("tokens/s"), std::string::npos);
    Json now = before;
    for (Json& process : now["processes"]) {
        process["incarnation"] = 99;
        process["cpu_ns"] = 1;  // a new process begins anew
    }
    EXPECT_EQ(top_text(now, before, 1).find("tokens/s"), std::string::npos);
    EXPECT_EQ(top_text(before, before, 0).find("tokens/s"), std::string::npos);
}

TEST(TopView, IsClippedToTheScreen) {
    EXPECT_EQ(clipped("abc\nde\nf\n", 2, 2), "ab\nde\n");
    EXPECT_EQ(clipped("abc", 5, 80), "abc\n");
    EXPECT_EQ(clipped("", 5, 80), "");
    EXPECT_EQ(clipped("a\n\nb\n", 9, 0), "\n\n\n");
}

TEST(RolloutView, SaysHowItEnded) {
    Json done = rollout("completed");
    done["ended_unix_ms"] = 1'012'000;
    EXPECT_EQ(rollout_summary(done),
              "rollout-7 swap demo completed in 12 s (prepare 2.10 s, verify 0.40 s); 12 canary "
              "copies, speed 1.02 of the old one's, accuracy 0.99911");
    Json failed = {{"id", "rollout-8"},
                   {"kind", "reload"},
                   {"status", "rolled_back"},
                   {"phase", "canary_copies"},
                   {"canary_copies", 3},
                   {"canary_different", 1},
                   {"reason", "1 of 3 copies differ"}};
    EXPECT_EQ(rollout_summary(failed),
              "rollout-8 reload rolled_back; 3 canary copies (1 different): 1 of 3 copies differ");
    EXPECT_EQ(rollout_phase(done), "swap demo: canary_copies");
    const std::string table = rollouts_text(Json::array({done, failed}));
    EXPECT_TRUE(table.starts_with("ROLLOUT    WHAT       STATUS       PHASE ")) << table;
    EXPECT_NE(table.find("rollout-8  reload     rolled_back  canary_copies"), table.npos) << table;
    EXPECT_EQ(rollouts_text(Json::array()), "no rollouts yet\n");
    EXPECT_EQ(rollouts_text(Json("x")), "no rollouts yet\n");
}

// Every part of the status replaced by something else: a text, never a crash, never an escape.
TEST(Views, TolerateAnything) {
    const std::vector<Json> others = {nullptr,
                                      true,
                                      -1,
                                      1e300,
                                      "\x1b[2J\x07",
                                      Json::array({1, nullptr, "\x1b", Json::object()}),
                                      Json::object({{"id", Json::array()}}),
                                      std::string(5'000, 'x')};
    const auto show = [](const Json& status) {
        const std::string text =
            status_text(status) + model_status_text(status) + top_text(status, full_status(), 1) +
            top_text(full_status(), status, 1) + rollouts_text(list_of(status, "rollouts")) +
            rollout_summary(object_of(status, "rollout"));
        const auto speaks = [](char c) { return c != '\n' && (c < ' ' || c > '~'); };
        EXPECT_TRUE(std::none_of(text.begin(), text.end(), speaks)) << text;
    };
    const Json full = full_status();
    const Json flat = full.flatten();
    for (const Json& other : others) {
        show(other);
        for (const auto& [key, value] : full.items()) {
            Json status = full;
            status[key] = other;
            show(status);
        }
        for (const auto& [pointer, value] : flat.items()) {
            Json status = full;
            status[Json::json_pointer(pointer)] = other;
            show(status);
        }
    }
}

TEST(Table, AlignsAndCuts) {
    Table table({{"A"}, {"B", Table::Align::kRight}, {"C"}});
    EXPECT_EQ(table.text(), "");
    table.add({"x", "10", "last"});
    table.add({"longer", "5"});
    EXPECT_EQ(table.text(), "A        B  C\nx       10  last\nlonger   5\n");
    Table cut({{"A"}, {"B"}});
    cut.add({std::string(100, 'x'), std::string(100, 'y')});
    EXPECT_EQ(cut.text(), "A" + std::string(61, ' ') + "B\n" + std::string(57, 'x') + "...  " +
                              std::string(100, 'y') + "\n");
}

TEST(Table, Quantities) {
    EXPECT_EQ(bytes_text(0), "0");
    EXPECT_EQ(bytes_text(999), "999 B");
    EXPECT_EQ(bytes_text(1'000), "1.00 kB");
    EXPECT_EQ(bytes_text(999'600), "1.00 MB");
    EXPECT_EQ(bytes_text(12'340'000'000), "12.3 GB");
    EXPECT_EQ(count_text(0), "0");
    EXPECT_EQ(count_text(1e300).size(), count_text(1e30).size());
    EXPECT_EQ(span_text(0), "0.00 s");
    EXPECT_EQ(span_text(310), "0.31 s");
    EXPECT_EQ(span_text(99'999), "99 s");
    EXPECT_EQ(span_text(247'000), "4:07");
    EXPECT_EQ(span_text(3'661'000), "1:01:01");
    EXPECT_EQ(span_text(90'061'000), "1d 01:01");
    EXPECT_EQ(percent_text(0.374), "37 %");
    EXPECT_EQ(percent_text(-1), "0 %");
}

}  // namespace
}  // namespace bitnetd::supervisor
