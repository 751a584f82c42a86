#include "supervisor/frontend/api/stats.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "common/base/clock.h"
#include "supervisor/frontend/api/gpu_figures.h"
#include "supervisor/frontend/api/json_text.h"

namespace bitnetd::frontend {
namespace {

using Json = nlohmann::ordered_json;

std::string print(const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

double seconds(uint64_t ns) {
    return static_cast<double>(ns) / static_cast<double>(kNsPerS);
}

// null: not known.
Json known(uint64_t value) {
    return value == 0 ? Json() : Json(value);
}

Json per_second(uint64_t ns) {
    return ns == 0 ? Json() : Json(1 / seconds(ns));
}

uint64_t sum(const BoardSet& boards, Counter counter) {
    uint64_t total = 0;
    boards.for_each([&](const shm::BoardView& board) { total += board.counter(counter); });
    return total;
}

uint64_t sum(const BoardSet& boards, Gauge gauge) {
    uint64_t total = 0;
    boards.for_each([&](const shm::BoardView& board) {
        if (is_alive(board)) total += board.gauge(gauge);
    });
    return total;
}

shm::HistogramSnapshot sum(const BoardSet& boards, Histogram histogram) {
    shm::HistogramSnapshot total;
    boards.for_each([&](const shm::BoardView& board) {
        const shm::HistogramSnapshot each = board.histogram(histogram);
        for (size_t i = 0; i < kHistogramBuckets; ++i)
            total.buckets[i] += each.buckets[i];
        total.count += each.count;
        total.sum_ns += each.sum_ns;
    });
    return total;
}

// The upper bound of the bucket that holds it, so at most twice the true value; null when nothing
// was recorded or it lies beyond the last bound.
Json quantile_ms(const shm::HistogramSnapshot& histogram, double share) {
    const auto wanted = static_cast<double>(histogram.count) * share;
    uint64_t seen = 0;
    for (size_t i = 0; i + 1 < kHistogramBuckets; ++i) {
        seen += histogram.buckets[i];
        if (histogram.count > 0 && static_cast<double>(seen) >= wanted) {
            return milliseconds(histogram_bound_ns(i));
        }
    }
    return {};
}

Json times_json(const BoardSet& boards, Histogram id) {
    const shm::HistogramSnapshot histogram = sum(boards, id);
    Json mean;
    if (histogram.count > 0) mean = milliseconds(histogram.sum_ns / histogram.count);
    return {{"count", histogram.count},
            {"mean", std::move(mean)},
            {"p50_at_most", quantile_ms(histogram, 0.5)},
            {"p99_at_most", quantile_ms(histogram, 0.99)}};
}

Json process_json(const shm::BoardView& board, uint64_t now_ns) {
    const uint64_t started_ns = board.started_ns();
    return {{"slot", board.slot()},
            {"pid", board.pid()},
            {"incarnation", board.incarnation()},
            {"state", shm::to_string(board.state())},
            {"uptime_seconds", now_ns > started_ns ? seconds(now_ns - started_ns) : 0},
            {"resident_bytes", known(board.gauge(Gauge::kResidentBytes))},
            {"cpu_seconds", seconds(board.counter(Counter::kCpuNs))}};
}

// Model ids by worker incarnation.
std::map<uint64_t, std::string> models_by_worker(const ServerView& server) {
    std::map<uint64_t, std::string> out;
    for (const auto& worker : server.dispatcher.workers()) {
        for (const ListedModel& model : server.models) {
            if (model->key == worker.facts.model_key) out[worker.facts.incarnation] = model->id;
        }
    }
    return out;
}

Json worker_json(const shm::BoardView& board, const std::map<uint64_t, std::string>& models,
                 uint64_t now_ns) {
    const shm::WorkerSnapshot worker = board.worker();
    const auto model = models.find(board.incarnation());
    Json json = process_json(board, now_ns);
    json["device"] = board.device();
    json["model"] = model == models.end() ? Json() : Json(model->second);
    json["slots"] = worker.slots_max;
    json["slots_used"] = worker.slots_used;
    json["sequences_running"] = board.gauge(Gauge::kRunningSequences);
    json["sequences_waiting"] = board.gauge(Gauge::kWaitingSequences);
    json["kv_pages"] = board.gauge(Gauge::kKvPagesTotal);
    json["kv_pages_used"] = board.gauge(Gauge::kKvPagesUsed);
    json["kv_page_tokens"] = worker.page_tokens;
    json["steps"] = board.counter(Counter::kSteps);
    json["step_rows"] = board.counter(Counter::kStepRows);
    json["prefill_tokens"] = board.counter(Counter::kPrefillTokens);
    json["decode_tokens"] = board.counter(Counter::kDecodeTokens);
    json["batch_efficiency"] = batch_efficiency(board);
    json["decode_tokens_per_second"] = per_second(worker.decode_ns);
    json["prefill_tokens_per_second"] = per_second(worker.prefill_token_ns);
    return json;
}

Json processes_json(const ServerView& server, uint64_t now_ns, shm::Role role) {
    const auto models = models_by_worker(server);
    Json list = Json::array();
    server.boards.for_each([&](const shm::BoardView& board) {
        if (board.role() != role) return;
        list.push_back(role == shm::Role::kWorker ? worker_json(board, models, now_ns)
                                                  : process_json(board, now_ns));
    });
    return list;
}

// Of each living process one value, under `name`.
template <typename ValueOf>
Json by_process(const BoardSet& boards, const char* name, ValueOf value_of) {
    Json list = Json::array();
    boards.for_each([&](const shm::BoardView& board) {
        if (!is_alive(board)) return;
        list.push_back({{"process", shm::to_string(board.role())},
                        {"slot", board.slot()},
                        {"pid", board.pid()},
                        {name, value_of(board)}});
    });
    return list;
}

}  // namespace

double batch_efficiency(const shm::BoardView& board) {
    const auto places = static_cast<double>(board.counter(Counter::kSteps)) *
                        static_cast<double>(board.worker().slots_max);
    if (places == 0) return 0;
    return std::min(static_cast<double>(board.counter(Counter::kStepRows)) / places, 1.0);
}

std::string render_stats(const ServerView& server, uint64_t now_ns) {
    const BoardSet& boards = server.boards;
    const auto count = [&boards](auto id) { return sum(boards, id); };
    return print({{"object", "stats"},
                  {"timestamp", utc_time(unix_seconds())},
                  {"version", BITNETD_VERSION},
                  {"models", count_serving(server.models)},
                  {"requests",
                   {{"admitted", count(Counter::kGenerationsAdmitted)},
                    {"finished", count(Counter::kGenerationsFinished)},
                    {"cancelled", count(Counter::kGenerationsCancelled)},
                    {"failed", count(Counter::kGenerationsFailed)},
                    {"refused", count(Counter::kGenerationsRefused)},
                    {"resumed", count(Counter::kGenerationsResumed)},
                    {"active", count(Gauge::kActiveRequests)},
                    {"queued", count(Gauge::kQueueDepth)}}},
                  {"tokens",
                   {{"prompt", count(Counter::kPromptTokens)},
                    {"generated", count(Counter::kGeneratedTokens)}}},
                  {"times_ms",
                   {{"queue", times_json(boards, Histogram::kQueueSeconds)},
                    {"first_token", times_json(boards, Histogram::kFirstTokenSeconds)},
                    {"inter_token", times_json(boards, Histogram::kInterTokenSeconds)},
                    {"end_to_end", times_json(boards, Histogram::kEndToEndSeconds)}}},
                  {"supervisor", processes_json(server, now_ns, shm::Role::kSupervisor)},
                  {"frontends", processes_json(server, now_ns, shm::Role::kFrontend)},
                  {"workers", processes_json(server, now_ns, shm::Role::kWorker)}});
}

std::string render_devices(const ServerView& server) {
    struct Device {
        Json workers = Json::array();
        Json models = Json::array();
        std::string kernel_isa = {};  // the same for all workers of a device
        bool is_ready = false;
    };
    const auto gpus = gpu_figures(server.boards);
    std::map<std::string, Device> devices;
    const auto models = models_by_worker(server);
    for (const auto& worker : server.dispatcher.workers()) {
        Device& device = devices[worker.facts.device];
        device.workers.push_back(worker.facts.slot);
        device.is_ready |= worker.ready;
        if (!worker.facts.kernel_isa.empty()) device.kernel_isa = worker.facts.kernel_isa;
        const auto model = models.find(worker.facts.incarnation);
        if (model == models.end()) continue;
        const Json id = model->second;
        if (std::find(device.models.begin(), device.models.end(), id) == device.models.end()) {
            device.models.push_back(id);
        }
    }
    const auto memory = server.machine.memory();
    Json data = Json::array();
    for (auto& [id, device] : devices) {
        const bool is_cpu = id.starts_with("cpu");
        data.push_back(
            {{"id", id},
             {"object", "device"},
             {"kind", is_cpu ? "cpu" : "gpu"},
             {"status", device.is_ready ? "ready" : "starting"},
             {"instruction_set", device.kernel_isa.empty() ? Json() : Json(device.kernel_isa)},
             {"cores", is_cpu ? known(server.machine.cores()) : Json()},
             {"memory_total_bytes", is_cpu && memory ? Json(memory->total_bytes) : Json()},
             {"memory_available_bytes", is_cpu && memory ? Json(memory->available_bytes) : Json()},
             {"workers", std::move(device.workers)},
             {"models", std::move(device.models)}});
        if (is_cpu) continue;
        const auto gpu = gpus.find(id);
        data.back().update(figures_json(gpu == gpus.end() ? GpuFigures{} : gpu->second));
    }
    const size_t total = data.size();
    return print({{"object", "list"}, {"data", std::move(data)}, {"total_count", total}});
}

std::string render_machine(const ServerView& server) {
    const auto memory = server.machine.memory();
    const auto utilisation = server.machine.utilisation();
    return print({{"timestamp", utc_time(unix_seconds())},
                  {"cpu",
                   {{"cores", known(server.machine.cores())},
                    {"utilisation", utilisation ? Json(*utilisation) : Json()},
                    {"processes", by_process(server.boards, "cpu_seconds",
                                             [](const shm::BoardView& board) {
                                                 return seconds(board.counter(Counter::kCpuNs));
                                             })}}},
                  {"memory",
                   {{"total_bytes", memory ? Json(memory->total_bytes) : Json()},
                    {"available_bytes", memory ? Json(memory->available_bytes) : Json()},
                    {"processes", by_process(server.boards, "resident_bytes",
                                             [](const shm::BoardView& board) {
                                                 return known(board.gauge(Gauge::kResidentBytes));
                                             })}}},
                  {"gpu", gpus_json(server.boards)}});
}

}  // namespace bitnetd::frontend
