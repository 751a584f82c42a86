#include "supervisor/frontend/api/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <limits>

#include "common/metrics/metrics.h"
#include "shm/control/text_field.h"
#include "supervisor/frontend/api/stats.h"

namespace bitnetd::frontend {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

Labels labels_of(const shm::BoardView& board) {
    Labels labels = {{"process", std::string(to_string(board.role()))},
                     {"slot", std::to_string(board.slot())}};
    if (!board.device().empty()) labels.push_back({"device", board.device()});
    return labels;
}

// Whose metric it is, by the sections of metrics.def: others would only ever show zero.
bool belongs_to(shm::Role role, Counter id) {
    if (id < Counter::kSteps) return role == shm::Role::kFrontend;
    if (id < Counter::kWorkerStarts) return role == shm::Role::kWorker;
    return id >= Counter::kCpuNs || role == shm::Role::kSupervisor;
}

bool belongs_to(const shm::BoardView& board, Gauge id) {
    if (id < Gauge::kKvPagesUsed) return board.role() == shm::Role::kFrontend;
    if (id < Gauge::kRolloutsRunning) return board.role() == shm::Role::kWorker;
    if (id < Gauge::kResidentBytes) return board.role() == shm::Role::kSupervisor;
    return id < Gauge::kWeightsUploadedBytes || board.device().starts_with("cuda");
}

MetricFamily family(const MetricText& text, MetricType type) {
    return {text.name, text.help, type, {}};
}

void add_counters(std::vector<MetricFamily>& out, const BoardSet& boards) {
    for (size_t i = 0; i < kCounterCount; ++i) {
        const auto id = static_cast<Counter>(i);
        MetricFamily counters = family(kCounterTexts[i], MetricType::Counter);
        boards.for_each([&](const shm::BoardView& board) {
            if (!belongs_to(board.role(), id)) return;
            ClientMetric metric;
            metric.label = labels_of(board);
            metric.counter.value = kCounterTexts[i].in_unit(board.counter(id));
            counters.metric.push_back(std::move(metric));
        });
        out.push_back(std::move(counters));
    }
}

void add_gauge(MetricFamily& gauges, Labels labels, double value) {
    ClientMetric metric;
    metric.label = std::move(labels);
    metric.gauge.value = value;
    gauges.metric.push_back(std::move(metric));
}

void add_gauges(std::vector<MetricFamily>& out, const BoardSet& boards) {
    for (size_t i = 0; i < kGaugeCount; ++i) {
        const auto id = static_cast<Gauge>(i);
        MetricFamily gauges = family(kGaugeTexts[i], MetricType::Gauge);
        boards.for_each([&](const shm::BoardView& board) {
            if (!is_alive(board) || !belongs_to(board, id)) return;
            add_gauge(gauges, labels_of(board), kGaugeTexts[i].in_unit(board.gauge(id)));
        });
        out.push_back(std::move(gauges));
    }
}

ClientMetric::Histogram cumulative(const MetricText& text, const shm::HistogramSnapshot& snapshot) {
    ClientMetric::Histogram histogram;
    for (size_t i = 0; i < kHistogramBuckets; ++i) {
        const uint64_t bound_ns = histogram_bound_ns(i);
        histogram.sample_count += snapshot.buckets[i];
        const double bound = bound_ns == UINT64_MAX ? std::numeric_limits<double>::infinity()
                                                    : text.in_unit(bound_ns);
        histogram.bucket.push_back({histogram.sample_count, bound});
    }
    histogram.sample_sum = text.in_unit(snapshot.sum_ns);
    return histogram;
}

void add_histograms(std::vector<MetricFamily>& out, const BoardSet& boards) {
    for (size_t i = 0; i < kHistogramCount; ++i) {
        const auto id = static_cast<Histogram>(i);
        MetricFamily histograms = family(kHistogramTexts[i], MetricType::Histogram);
        boards.for_each([&](const shm::BoardView& board) {
            if (board.role() != shm::Role::kFrontend) return;
            ClientMetric metric;
            metric.label = labels_of(board);
            metric.histogram = cumulative(kHistogramTexts[i], board.histogram(id));
            histograms.metric.push_back(std::move(metric));
        });
        out.push_back(std::move(histograms));
    }
}

void add_processes(std::vector<MetricFamily>& out, const BoardSet& boards) {
    MetricFamily up =
        family({"bitnet_process_ready", "1 while the process is ready."}, MetricType::Gauge);
    MetricFamily used =
        family({"bitnet_worker_slots_used", "Sequences a worker has taken."}, MetricType::Gauge);
    MetricFamily slots =
        family({"bitnet_worker_slots", "Sequences a worker takes at once."}, MetricType::Gauge);
    MetricFamily efficiency = family({"bitnet_batch_efficiency_ratio",
                                      "Rows per step by the sequences that a worker takes at once, "
                                      "since the first start; at most 1."},
                                     MetricType::Gauge);
    boards.for_each([&](const shm::BoardView& board) {
        add_gauge(up, labels_of(board), board.state() == shm::ProcessState::kReady ? 1 : 0);
        if (board.role() != shm::Role::kWorker || !is_alive(board)) return;
        const shm::WorkerSnapshot worker = board.worker();
        add_gauge(used, labels_of(board), worker.slots_used);
        add_gauge(slots, labels_of(board), worker.slots_max);
        add_gauge(efficiency, labels_of(board), batch_efficiency(board));
    });
    for (MetricFamily* gauges : {&up, &used, &slots, &efficiency})
        out.push_back(std::move(*gauges));
}

void add_models(std::vector<MetricFamily>& out, const ModelList& models,
                const Dispatcher& dispatcher) {
    MetricFamily build =
        family({"bitnet_build_info", "1, with the version as label."}, MetricType::Gauge);
    add_gauge(build, {{"version", BITNETD_VERSION}}, 1);
    MetricFamily info =
        family({"bitnet_model_info", "1 for each model that is served."}, MetricType::Gauge);
    MetricFamily ready =
        family({"bitnet_model_ready_workers", "Workers ready for the model."}, MetricType::Gauge);
    MetricFamily bytes = family({"bitnet_model_weights_bytes",
                                 "Packed weights, shared by all "
                                 "workers of the model."},
                                MetricType::Gauge);
    MetricFamily accuracy = family({"bitnet_quantization_accuracy_ratio",
                                    "Cosine of packed layers' products with those of the stored "
                                    "weights, of the worst layer of a type, measured at load."},
                                   MetricType::Gauge);
    for (const ListedModel& model : models) {
        if (!model.is_serving()) continue;  // another one of its id may be
        const Labels label = {{"model", model->id}};
        add_gauge(info,
                  {{"model", model->id},
                   {"digest", std::string(shm::field_text(model->facts.digest))},
                   {"architecture", std::string(shm::field_text(model->facts.architecture))},
                   {"quantization", std::string(shm::field_text(model->facts.quantization))}},
                  1);
        double workers = 0;
        for (const auto& worker : dispatcher.workers()) {
            if (worker.ready && worker.facts.model_key == model->key) ++workers;
        }
        add_gauge(ready, label, workers);
        add_gauge(bytes, label, static_cast<double>(model->facts.weights_bytes));
        for (uint32_t i = 0; i < model->facts.accuracy_count; ++i) {
            const shm::TypeAccuracy& each = model->facts.accuracy[i];
            add_gauge(accuracy,
                      {{"model", model->id}, {"type", std::string(shm::field_text(each.type))}},
                      each.ratio);
        }
    }
    for (MetricFamily* gauges : {&build, &info, &ready, &bytes, &accuracy})
        out.push_back(std::move(*gauges));
}

// Not a label of every figure of a worker: its slot, whose counters go on, may be given another
// model.
void add_workers(std::vector<MetricFamily>& out, const ModelList& models,
                 const Dispatcher& dispatcher) {
    MetricFamily info = family(
        {"bitnet_worker_info", "1 for each worker, with its model as label."}, MetricType::Gauge);
    for (const auto& worker : dispatcher.workers()) {
        for (const ListedModel& model : models) {
            if (model->key != worker.facts.model_key) continue;
            add_gauge(info,
                      {{"process", "worker"},
                       {"slot", std::to_string(worker.facts.slot)},
                       {"device", worker.facts.device},
                       {"model", model->id}},
                      1);
        }
    }
    out.push_back(std::move(info));
}

}  // namespace

std::string render_metrics(const BoardSet& boards, const ModelList& models,
                           const Dispatcher& dispatcher) {
    std::vector<MetricFamily> families;
    add_counters(families, boards);
    add_gauges(families, boards);
    add_histograms(families, boards);
    add_processes(families, boards);
    add_models(families, models, dispatcher);
    add_workers(families, models, dispatcher);
    std::erase_if(families, [](const MetricFamily& one) { return one.metric.empty(); });
    return prometheus::TextSerializer().Serialize(families);
}

}  // namespace bitnetd::frontend
