#include "supervisor/ctl/status_view.h"

#include "supervisor/ctl/rollout_view.h"
#include "supervisor/ctl/table.h"

namespace bitnetd::supervisor {
namespace {

using Align = Table::Align;

// A heartbeat older than this is worth a word; the usual interval is a quarter of a second.
constexpr uint64_t kHeartbeatOldMs = 2'000;

std::string count_or_nothing(const Json& object, const char* key) {
    const uint64_t count = count_of(object, key);
    return count == 0 ? "" : std::to_string(count);
}

std::string health_text(const Json& status) {
    const Json& health = object_of(status, "health");
    std::string text;
    const auto add = [&](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
    if (const uint64_t restarting = count_of(health, "workers_restarting"); restarting > 0) {
        add(std::to_string(restarting) + " of " +
            std::to_string(count_of(health, "workers_expected")) + " workers restarting");
    }
    if (const uint64_t loading = count_of(health, "models_loading"); loading > 0) {
        add(std::to_string(loading) + (loading == 1 ? " model" : " models") + " loading");
    }
    if (const std::string reason = text_of(health, "reason"); !reason.empty()) add(reason);
    return text.empty() ? "" : "not well: " + text + "\n";
}

std::string of_maximum(uint64_t used, uint64_t maximum) {
    return maximum == 0 ? "" : std::to_string(used) + "/" + std::to_string(maximum);
}

std::string processes_text(const Json& status) {
    Table table({{"PROCESS"},
                 {"STATE"},
                 {"PID", Align::kRight},
                 {"UP", Align::kRight},
                 {"MODEL"},
                 {"DEVICE"},
                 {"SLOTS", Align::kRight},
                 {"KV", Align::kRight},
                 {"MEMORY", Align::kRight},
                 {"DEATHS", Align::kRight},
                 {"NOTES"}});
    for (const Json& process : list_of(status, "processes")) {
        const uint64_t kv_pages = count_of(process, "kv_pages");
        const double kv_used = number_of(process, "kv_pages_used");
        const std::string isa = text_of(process, "isa");
        table.add({text_of(process, "name"), text_of(process, "state"),
                   count_or_nothing(process, "pid"), span_text(count_of(process, "uptime_ms")),
                   text_of(process, "model"),
                   text_of(process, "device") + (isa.empty() ? "" : " " + isa),
                   of_maximum(count_of(process, "slots_used"), count_of(process, "slots_max")),
                   kv_pages == 0 ? "" : percent_text(kv_used / static_cast<double>(kv_pages)),
                   bytes_text(count_of(process, "resident_bytes")),
                   count_or_nothing(process, "deaths"), process_notes(process)});
    }
    return table.text();
}

std::string rollout_line(const Json& status) {
    const Json& rollout = object_of(status, "rollout");
    return rollout.empty() ? "" : "\n" + rollout_summary(rollout) + "\n";
}

// What a worker's GPU is doing, where its driver tells: "63 C, 412 W, 38.2 GB of 85.9 GB, 97 %".
std::string gpu_text(const Json& process) {
    const Json& gauges = object_of(process, "gauges");
    const auto of = [&](const char* name) { return number_of(gauges, name); };
    const double total = of("bitnet_gpu_memory_bytes");
    if (total == 0) return "";
    return count_text(of("bitnet_gpu_temperature_celsius")) + " C, " +
           count_text(of("bitnet_gpu_power_watts")) + " W, " +
           bytes_text(static_cast<uint64_t>(of("bitnet_gpu_memory_used_bytes"))) + " of " +
           bytes_text(static_cast<uint64_t>(total)) + ", " +
           percent_text(of("bitnet_gpu_utilisation_ratio"));
}

}  // namespace

std::string process_notes(const Json& process) {
    std::string text;
    const auto add = [&](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
    if (flag_of(process, "canary")) add("canary");
    if (flag_of(process, "old")) add("old");
    if (flag_of(process, "breaker_open")) add("breaker open");
    if (const uint64_t in_ms = count_of(process, "restart_in_ms"); in_ms > 0) {
        add("restarts in " + span_text(in_ms));
    }
    if (const uint64_t age_ms = count_of(process, "heartbeat_age_ms"); age_ms >= kHeartbeatOldMs) {
        add("no heartbeat for " + span_text(age_ms));
    }
    if (const std::string gpu = gpu_text(process); !gpu.empty()) add(gpu);
    if (const std::string end = text_of(process, "last_end"); !end.empty()) add("last: " + end);
    return text;
}

std::string server_text(const Json& status) {
    std::string text = "bitnetd " + text_of(status, "version") + ", pid " +
                       std::to_string(count_of(status, "pid")) + ", up " +
                       span_text(count_of(status, "uptime_ms"));
    if (const std::string state = text_of(status, "state"); !state.empty()) text += ", " + state;
    return text + "\n" + health_text(status);
}

std::string models_text(const Json& status) {
    Table table({{"MODEL"},
                 {"STANDING"},
                 {"ARCHITECTURE"},
                 {"TYPE"},
                 {"PARAMETERS", Align::kRight},
                 {"CONTEXT", Align::kRight},
                 {"WEIGHTS", Align::kRight},
                 {"KEY", Align::kRight},
                 {"DIGEST"},
                 {"PATH"}});
    for (const Json& model : list_of(status, "models")) {
        const std::string refusal = text_of(model, "refusal");
        const std::string path = text_of(model, "path");
        const double parameters = number_of(model, "parameters");
        table.add({text_of(model, "id") + (flag_of(model, "default") ? " *" : ""),
                   text_of(model, "standing"), text_of(model, "architecture"),
                   text_of(model, "quantization"), parameters > 0 ? count_text(parameters) : "",
                   count_or_nothing(model, "context"), bytes_text(count_of(model, "weights_bytes")),
                   count_or_nothing(model, "key"), text_of(model, "digest").substr(0, 12),
                   refusal.empty() ? path : path + ": " + refusal});
    }
    const std::string text = table.text();
    return text.empty() ? "no models\n" : text;
}

std::string status_text(const Json& status) {
    return server_text(status) + "\n" + models_text(status) + "\n" + processes_text(status) +
           rollout_line(status);
}

std::string model_status_text(const Json& status) {
    return models_text(status) + rollout_line(status);
}

}  // namespace bitnetd::supervisor
