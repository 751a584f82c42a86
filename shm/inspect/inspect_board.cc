#include "common/base/clock.h"
#include "shm/board/board.h"
#include "shm/inspect/inspect.h"

namespace bitnetd::shm {
namespace {
using Json = nlohmann::ordered_json;

// Milliseconds since `then_ns`; null for never and for the future (a hostile or a frozen clock).
Json age_ms(uint64_t then_ns, uint64_t now_ns) {
    if (then_ns == 0 || then_ns > now_ns) return nullptr;
    return (now_ns - then_ns) / kNsPerMs;
}

// Whole numbers stay whole.
Json in_unit(const MetricText& text, uint64_t value) {
    return text.parts == 1 ? Json(value) : Json(text.in_unit(value));
}

Json metrics_of(const BoardView& board) {
    Json metrics = Json::object();
    for (size_t i = 0; i < kCounterCount; ++i) {
        const uint64_t value = board.counter(static_cast<Counter>(i));
        if (value != 0) metrics[kCounterTexts[i].name] = in_unit(kCounterTexts[i], value);
    }
    for (size_t i = 0; i < kGaugeCount; ++i) {
        const uint64_t value = board.gauge(static_cast<Gauge>(i));
        if (value != 0) metrics[kGaugeTexts[i].name] = in_unit(kGaugeTexts[i], value);
    }
    for (size_t i = 0; i < kHistogramCount; ++i) {
        const HistogramSnapshot histogram = board.histogram(static_cast<Histogram>(i));
        if (histogram.count == 0) continue;
        const std::string name = kHistogramTexts[i].name;
        metrics[name + "_count"] = histogram.count;
        metrics[name + "_sum"] = kHistogramTexts[i].in_unit(histogram.sum_ns);
    }
    return metrics;
}

Json worker_of(const BoardView& board, uint64_t now_ns) {
    const WorkerSnapshot worker = board.worker();
    Json to{
        {"slots_used", worker.slots_used},   {"slots_max", worker.slots_max},
        {"context_max", worker.context_max}, {"page_tokens", worker.page_tokens},
        {"decode_ns", worker.decode_ns},     {"prefill_token_ns", worker.prefill_token_ns},
        {"steps_begun", worker.steps_begun}, {"step_age_ms", age_ms(worker.step_begun_ns, now_ns)}};
    const auto plan = board.step_plan();
    if (plan && !plan->empty()) {
        Json flights = Json::array();
        for (const StepFlight& it : *plan) {
            flights.push_back(
                {{"frontend_incarnation", it.frontend_incarnation}, {"flight", it.flight}});
        }
        to["step_plan"] = std::move(flights);
    }
    return to;
}

}  // namespace

Result<Json> inspect_board(std::span<const std::byte> memory, uint64_t now_ns) {
    BITNETD_ASSIGN(const BoardView board, BoardView::open(memory));
    Json to{{"process", std::string(to_string(board.role())) + "/" + std::to_string(board.slot())},
            {"incarnation", board.incarnation()},
            {"pid", board.pid()},
            {"state", to_string(board.state())},
            {"heartbeat_age_ms", age_ms(board.heartbeat_ns(), now_ns)},
            {"uptime_ms", age_ms(board.started_ns(), now_ns)},
            {"sleeping", board.sleeping().load(std::memory_order_relaxed)}};
    if (!board.device().empty()) to["device"] = board.device();
    if (const std::string words = board.last_words(); !words.empty()) to["last_words"] = words;
    if (board.role() == Role::kWorker) to["worker"] = worker_of(board, now_ns);
    to["metrics"] = metrics_of(board);
    return to;
}

}  // namespace bitnetd::shm
