#include "supervisor/ctl/top_view.h"

#include <optional>

#include "supervisor/ctl/rollout_view.h"
#include "supervisor/ctl/status_view.h"
#include "supervisor/ctl/table.h"

namespace bitnetd::supervisor {
namespace {

// Growth per second of one process's numbers since the status before.
class Rates {
  public:
    Rates(const Json& process, const Json* before, double seconds)
        : process_(process), before_(before), seconds_(seconds) {}

    bool known() const { return before_ != nullptr && seconds_ > 0; }
    double of(const char* key) const { return grown(process_, before_, key); }
    double of_counter(const char* name) const {
        return known() ? grown(object_of(process_, "counters"), &before_counters(), name) : 0;
    }

  private:
    const Json& before_counters() const { return object_of(*before_, "counters"); }
    double grown(const Json& now, const Json* then, const char* key) const {
        if (!known()) return 0;
        return std::max(0.0, number_of(now, key) - number_of(*then, key)) / seconds_;
    }
    const Json& process_;
    const Json* before_;
    double seconds_;
};

const Json* same_process(const Json& status, const Json& process) {
    for (const Json& other : list_of(status, "processes")) {
        if (text_of(other, "name") == text_of(process, "name") &&
            count_of(other, "incarnation") == count_of(process, "incarnation")) {
            return &other;
        }
    }
    return nullptr;
}

double gauge(const Json& process, const char* name) {
    return number_of(object_of(process, "gauges"), name);
}

struct Totals {
    bool known = false;                                           // the rates are
    double requests = 0, generated = 0, prompt = 0, refused = 0;  // per second
    double active = 0, queued = 0, connections = 0, running = 0;  // now

    void add(const Json& process, const Rates& rates) {
        known = known || rates.known();
        for (const char* answered :
             {"bitnet_http_requests_2xx_total", "bitnet_http_requests_4xx_total",
              "bitnet_http_requests_5xx_total"}) {
            requests += rates.of_counter(answered);
        }
        generated += rates.of_counter("bitnet_decode_tokens_total");
        prompt += rates.of_counter("bitnet_prefill_tokens_total");
        refused += rates.of_counter("bitnet_generations_refused_total");
        active += gauge(process, "bitnet_active_requests");
        queued += gauge(process, "bitnet_queue_depth");
        connections += gauge(process, "bitnet_connections_open");
        running += gauge(process, "bitnet_running_sequences");
    }
    std::string text() const {
        std::string line = count_text(active) + " generations, " + count_text(queued) +
                           " queued, " + count_text(running) + " running; " +
                           count_text(connections) + " connections\n";
        if (!known) return line;
        return line + count_text(requests) + " requests/s, " + count_text(generated) +
               " tokens/s drawn, " + count_text(prompt) + " tokens/s of prompts, " +
               count_text(refused) + " refused/s\n";
    }
};

std::vector<std::string> cells(const Json& process, const Rates& rates) {
    const auto rate = [&](const char* name) {
        const double value = rates.of_counter(name);
        return value > 0 ? count_text(value) : std::string();
    };
    const double kv_pages = number_of(process, "kv_pages");
    const uint64_t slots = count_of(process, "slots_max");
    constexpr double kNsInS = 1e9;
    return {text_of(process, "name"),
            text_of(process, "state"),
            text_of(process, "model"),
            rates.known() ? percent_text(rates.of("cpu_ns") / kNsInS) : "",
            bytes_text(count_of(process, "resident_bytes")),
            slots == 0
                ? ""
                : std::to_string(count_of(process, "slots_used")) + "/" + std::to_string(slots),
            kv_pages > 0 ? percent_text(number_of(process, "kv_pages_used") / kv_pages) : "",
            rate("bitnet_decode_tokens_total"),
            rate("bitnet_prefill_tokens_total"),
            process_notes(process)};
}

}  // namespace

std::string top_text(const Json& status, const Json& before, double seconds) {
    using Align = Table::Align;
    Table table({{"PROCESS"},
                 {"STATE"},
                 {"MODEL"},
                 {"CPU", Align::kRight},
                 {"MEMORY", Align::kRight},
                 {"SLOTS", Align::kRight},
                 {"KV", Align::kRight},
                 {"DRAWN/S", Align::kRight},
                 {"PROMPT/S", Align::kRight},
                 {"NOTES"}});
    Totals totals;
    for (const Json& process : list_of(status, "processes")) {
        const Rates rates(process, same_process(before, process), seconds);
        totals.add(process, rates);
        table.add(cells(process, rates));
    }
    std::string text = server_text(status) + totals.text() + "\n" + table.text();
    const Json& rollout = object_of(status, "rollout");
    if (!rollout.empty()) text += "\n" + rollout_summary(rollout) + "\n";
    return text;
}

std::string clipped(const std::string& text, size_t rows, size_t columns) {
    std::string out;
    size_t at = 0;
    for (size_t row = 0; row < rows && at < text.size(); ++row) {
        const size_t end = std::min(text.find('\n', at), text.size());
        out += text.substr(at, std::min(end - at, columns)) + "\n";
        at = end + 1;
    }
    return out;
}

}  // namespace bitnetd::supervisor
