// Goal: /v1/stats, /v1/devices, /v1/metrics and the figures of /metrics say what boards and the
//   kernel say; what nobody measured is null, and what a board cannot mean does no harm.
// Method: texts of /proc as they were found on machines; requests through Api over boards of plain
//   memory.
#include "supervisor/frontend/api/stats.h"

#include <unistd.h>

#include "tests/unit/supervisor/frontend/api/api_fixture.h"

namespace bitnetd::frontend {
namespace {

TEST(Machine, CpuTimesAreThoseOfTheFirstLine) {
    const auto times = parse_cpu_times(
        "cpu  100 20 30 4000 500 6 7 8 90 10\ncpu0 50 10 15 2000 250 3 3 4 45 5\nintr 1\n");
    ASSERT_TRUE(times);
    EXPECT_EQ(times->total, 100u + 20 + 30 + 4000 + 500 + 6 + 7 + 8);
    EXPECT_EQ(times->busy, 100u + 20 + 30 + 6 + 7 + 8);
    for (const char* bad : {"", "cpu", "cpu ", "cpu0 1 2 3 4 5 6 7 8", "cpu  1 2 3 4 5 6 7",
                            "cpu  1 2 x 4 5 6 7 8", "cpu  99999999999999999999 2 3 4 5 6 7 8"}) {
        EXPECT_FALSE(parse_cpu_times(bad)) << bad;
    }
}

TEST(Machine, MemoryIsInBytes) {
    const auto memory = parse_memory(
        "MemTotal:       16315344 kB\nMemFree:          123 kB\nMemAvailable:   8000000 kB\n");
    ASSERT_TRUE(memory);
    EXPECT_EQ(memory->total_bytes, uint64_t{16315344} * 1024);
    EXPECT_EQ(memory->available_bytes, uint64_t{8000000} * 1024);
    for (const char* bad : {"", "MemTotal: 1 kB\n", "MemTotal: x kB\nMemAvailable: 1 kB\n"}) {
        EXPECT_FALSE(parse_memory(bad)) << bad;
    }
}

TEST(Machine, TheOneThatRunsThisTest) {
    auto machine = Machine::open();
    ASSERT_TRUE(machine.ok()) << machine.error().message;
    EXPECT_EQ(machine->cores(), static_cast<uint32_t>(sysconf(_SC_NPROCESSORS_ONLN)));
    const auto memory = machine->memory();
    ASSERT_TRUE(memory);
    EXPECT_GT(memory->available_bytes, 0u);
    EXPECT_LE(memory->available_bytes, memory->total_bytes);
    EXPECT_FALSE(machine->utilisation());
    uint64_t second = 1;
    // Until the kernel has counted a tick of anybody.
    while (!machine->utilisation())
        machine->observe(second++ * kNsPerS);
    EXPECT_GE(*machine->utilisation(), 0);
    EXPECT_LE(*machine->utilisation(), 1);
}

// A board of another process.
class OtherBoard {
  public:
    OtherBoard(shm::Role role, uint32_t slot, uint64_t incarnation, std::string_view device) {
        EXPECT_TRUE(shm::init_board(memory(), {role, slot, incarnation, device}).ok());
    }
    shm::BoardView view() { return std::move(shm::BoardView::open(memory())).value(); }
    shm::BoardWriter writer() { return std::move(shm::BoardWriter::open(memory())).value(); }

  private:
    std::span<std::byte> memory() {
        return {reinterpret_cast<std::byte*>(board_.get()), sizeof(shm::Board)};
    }
    std::unique_ptr<shm::Board> board_ = std::make_unique<shm::Board>();
};

class StatsTest : public ApiTest {
  protected:
    StatsTest() {
        add_worker();  // incarnation 1 of slot 0
        auto writer = worker_board_.writer();
        writer.set_pid(4711);
        writer.set_worker_limits(10, 64, 32);
        writer.set_state(shm::ProcessState::kReady, 1);
        writer.count(Counter::kSteps, 8);
        writer.count(Counter::kStepRows, 40);
        writer.count(Counter::kDecodeTokens, 36);
        writer.count(Counter::kCpuNs, 2'500'000'000);
        writer.set_gauge(Gauge::kResidentBytes, 1'000'000);
        boards_.add(worker_board_.view());
        boards_.add(supervisor_board_.view());
    }
    Json get(const char* path) { return ask(Method::kGet, path).body(); }
    std::string prometheus() { return ask(Method::kGet, "/metrics").response->body; }

    OtherBoard worker_board_{shm::Role::kWorker, 0, 1, "cpu:0"};
    OtherBoard supervisor_board_{shm::Role::kSupervisor, 0, 7, ""};
};

TEST_F(StatsTest, StatsOfTheServerAndEachProcess) {
    OtherBoard first(shm::Role::kFrontend, 0, 8, "");
    first.writer().count(Counter::kGenerationsFinished, 5);
    first.writer().record_ns(Histogram::kQueueSeconds, 150'000);
    first.writer().record_ns(Histogram::kQueueSeconds, 50'000);
    boards_.add(first.view());
    OtherBoard frontend(shm::Role::kFrontend, 1, 9, "");
    frontend.writer().count(Counter::kGenerationsFinished, 2);
    frontend.writer().set_gauge(Gauge::kQueueDepth, 3);
    boards_.add(frontend.view());

    const Json stats = get("/v1/stats");
    EXPECT_EQ(stats["requests"]["finished"], 7);
    EXPECT_EQ(stats["requests"]["queued"], 3);
    EXPECT_EQ(stats["models"], 1);
    const Json& queue = stats["times_ms"]["queue"];
    EXPECT_EQ(queue["count"], 2);
    EXPECT_EQ(queue["mean"], 0.1);
    EXPECT_EQ(queue["p50_at_most"], 0.1);
    EXPECT_EQ(queue["p99_at_most"], 0.2);
    EXPECT_EQ(stats["times_ms"]["first_token"]["mean"], nullptr);
    EXPECT_EQ(stats["times_ms"]["first_token"]["p50_at_most"], nullptr);
    EXPECT_EQ(stats["supervisor"].size(), 1u);
    ASSERT_EQ(stats["workers"].size(), 1u);
    const Json& worker = stats["workers"][0];
    EXPECT_EQ(worker["pid"], 4711);
    EXPECT_EQ(worker["state"], "ready");
    EXPECT_EQ(worker["cpu_seconds"], 2.5);
    EXPECT_EQ(worker["slots"], 10);
    EXPECT_EQ(worker["steps"], 8);
    EXPECT_EQ(worker["batch_efficiency"], 0.5);
    EXPECT_EQ(worker["decode_tokens_per_second"], nullptr);
    frontend.writer().set_state(shm::ProcessState::kDead, 2);
    EXPECT_EQ(get("/v1/stats")["requests"]["queued"], 0) << "the dead have no queue";
}

TEST_F(StatsTest, Devices) {
    const Json devices = get("/v1/devices");
    EXPECT_EQ(devices["total_count"], 1);
    const Json& cpu = devices["data"][0];
    EXPECT_EQ(cpu["id"], "cpu:0");
    EXPECT_EQ(cpu["kind"], "cpu");
    EXPECT_EQ(cpu["status"], "ready");
    EXPECT_EQ(cpu["workers"], Json::array({0}));
    EXPECT_EQ(cpu["models"], Json::array({"tiny"}));
    EXPECT_EQ(cpu["instruction_set"], "avx2");
    EXPECT_EQ(cpu["cores"], nullptr) << "the fixture's machine knows nothing";
    worker_->ready = false;
    EXPECT_EQ(get("/v1/devices")["data"][0]["status"], "starting");
}

TEST_F(StatsTest, FiguresOfAGpu) {
    OtherBoard starting(shm::Role::kWorker, 1, 20, "cuda:0");
    OtherBoard board(shm::Role::kWorker, 2, 21, "cuda:0");
    auto writer = board.writer();
    writer.set_gauge(Gauge::kGpuMemoryTotalBytes, 80'000);
    writer.set_gauge(Gauge::kGpuMemoryUsedBytes, 30'000);
    writer.set_gauge(Gauge::kGpuTemperature, 63);
    writer.set_gauge(Gauge::kGpuPower, 412'500);
    writer.set_gauge(Gauge::kGpuUtilisation, 97);
    boards_.add(starting.view());
    boards_.add(board.view());
    const Json gpus = get("/v1/metrics")["gpu"]["devices"];
    ASSERT_EQ(gpus.size(), 1u);
    EXPECT_EQ(gpus[0]["id"], "cuda:0");
    EXPECT_EQ(gpus[0]["memory_available_bytes"], 50'000);
    EXPECT_EQ(gpus[0]["temperature_celsius"], 63);
    EXPECT_EQ(gpus[0]["power_watts"], 412.5);
    EXPECT_EQ(gpus[0]["utilisation"], 0.97);
    EXPECT_EQ(gpus[0]["clock_hertz"], nullptr) << "the driver did not tell";
    // More used than there is, as a hostile or dying writer has it.
    writer.set_gauge(Gauge::kGpuMemoryUsedBytes, 90'000);
    EXPECT_EQ(get("/v1/metrics")["gpu"]["devices"][0]["memory_available_bytes"], 0);
    const std::string text = prometheus();
    EXPECT_EQ(text.find("bitnet_gpu_power_watts{process=\"worker\",slot=\"0\""), std::string::npos)
        << "a worker on a CPU has none";
    const std::string labels = "{process=\"worker\",slot=\"2\",device=\"cuda:0\"} ";
    EXPECT_NE(text.find("bitnet_gpu_power_watts" + labels + "412.5\n"), std::string::npos);
    EXPECT_NE(text.find("bitnet_gpu_utilisation_ratio" + labels + "0.97\n"), std::string::npos);
    writer.set_state(shm::ProcessState::kDead, 2);
    EXPECT_EQ(get("/v1/metrics")["gpu"]["devices"][0]["temperature_celsius"], nullptr);
    EXPECT_EQ(prometheus().find("bitnet_gpu_power_watts" + labels), std::string::npos);
}

// One that ended as it was told may leave its board for the next of its slot.
TEST_F(StatsTest, GaugesEndWithTheirProcess) {
    const std::string labels = "{process=\"worker\",slot=\"0\",device=\"cpu:0\"} ";
    const auto shows = [&](const std::string& figure) {
        return prometheus().find("\n" + figure + "\n") != std::string::npos;
    };
    const std::string gauge = "bitnet_process_resident_bytes" + labels + "1000000";
    const std::string slots = "bitnet_worker_slots" + labels + "10";
    const std::string ready = "bitnet_process_ready" + labels;
    const std::string counter = "bitnet_process_cpu_seconds_total" + labels + "2.5";
    EXPECT_TRUE(shows(gauge) && shows(slots) && shows(ready + "1") && shows(counter));
    for (const auto state : {shm::ProcessState::kStopped, shm::ProcessState::kDead}) {
        worker_board_.writer().set_state(state, 2);
        EXPECT_FALSE(shows(gauge) || shows(slots));
        EXPECT_TRUE(shows(ready + "0") && shows(counter));
        EXPECT_EQ(get("/v1/metrics")["memory"]["processes"].size(), 1u);
    }
}

TEST_F(StatsTest, RolloutsAreTheSupervisorsAndWorkersNameTheirModel) {
    supervisor_board_.writer().count(Counter::kRolloutsRolledBack);
    supervisor_board_.writer().set_gauge(Gauge::kRolloutsRunning, 1);
    const std::string text = prometheus();
    for (const char* line :
         {"\nbitnet_rollouts_rolled_back_total{process=\"supervisor\",slot=\"0\"} 1\n",
          "\nbitnet_rollouts_running{process=\"supervisor\",slot=\"0\"} 1\n",
          "\nbitnet_worker_info{process=\"worker\",slot=\"0\",device=\"cpu:0\",model=\"tiny\"} "
          "1\n"}) {
        EXPECT_NE(text.find(line), std::string::npos) << line;
    }
    EXPECT_EQ(text.find("bitnet_rollouts_running{process=\"worker\""), std::string::npos);
}

// A slot's next board continues the counters of the one before, of which nobody said that it is
// gone.
TEST_F(StatsTest, NoSlotHasTwoBoards) {
    OtherBoard next(shm::Role::kWorker, 0, 31, "cpu:0");
    next.writer().count(Counter::kSteps, 9);
    OtherBoard other(shm::Role::kFrontend, 0, 32, "");
    boards_.add(other.view());
    boards_.remove_others(shm::Role::kWorker, 0, 31);
    boards_.add(next.view());
    boards_.remove_others(shm::Role::kWorker, 0, 31);
    EXPECT_EQ(boards_.find(1), nullptr);
    EXPECT_NE(boards_.find(7), nullptr);
    EXPECT_NE(boards_.find(31), nullptr);
    EXPECT_NE(boards_.find(32), nullptr);
}

TEST_F(StatsTest, MachineAndItsProcesses) {
    const Json nothing = get("/v1/metrics");
    EXPECT_TRUE(nothing.contains("gpu"));
    EXPECT_EQ(nothing["gpu"], nullptr);
    EXPECT_EQ(nothing["cpu"]["utilisation"], nullptr);
    EXPECT_EQ(nothing["memory"]["total_bytes"], nullptr);
    machine_ = Machine::open().value();
    const Json metrics = get("/v1/metrics");
    EXPECT_GE(metrics["cpu"]["cores"], 1);
    EXPECT_GT(metrics["memory"]["total_bytes"], metrics["memory"]["available_bytes"]);
    const Json expected = Json::array(
        {{{"process", "worker"}, {"slot", 0}, {"pid", 4711}, {"resident_bytes", 1'000'000}},
         {{"process", "supervisor"}, {"slot", 0}, {"pid", 0}, {"resident_bytes", nullptr}}});
    EXPECT_EQ(metrics["memory"]["processes"], expected);
    EXPECT_EQ(metrics["cpu"]["processes"][0]["cpu_seconds"], 2.5);
}

TEST_F(StatsTest, PrometheusShowsEachRatioOnce) {
    const std::string text = prometheus();
    for (const char* line :
         {"bitnet_batch_efficiency_ratio{process=\"worker\",slot=\"0\",device=\"cpu:0\"} 0.5\n",
          "bitnet_quantization_accuracy_ratio{model=\"tiny\",type=\"I2_S\"} 0.875\n",
          "bitnet_process_resident_bytes{process=\"worker\",slot=\"0\",device=\"cpu:0\"} 1000000\n",
          "bitnet_process_resident_bytes{process=\"supervisor\",slot=\"0\"} 0\n"}) {
        EXPECT_NE(text.find(line), std::string::npos) << line;
    }
    // Prompts filled more rows than there are slots.
    worker_board_.writer().count(Counter::kStepRows, 1000);
    EXPECT_EQ(batch_efficiency(worker_board_.view()), 1);
    OtherBoard idle(shm::Role::kWorker, 1, 3, "cpu:0");
    EXPECT_EQ(batch_efficiency(idle.view()), 0);
}

TEST_F(StatsTest, ModelsTellWhatTheirWorkersDid) {
    const Json model = get("/v1/models/tiny");
    EXPECT_EQ(model["performance_metrics"]["generated_tokens"], 36);
    EXPECT_EQ(model["performance_metrics"]["quantization_accuracy"], 0.875);
    EXPECT_EQ(model["performance_metrics"]["cross_validation_score"], 0.5);
    EXPECT_EQ(model["resource_usage"]["worker_resident_bytes"], 1'000'000);
    EXPECT_EQ(model["resource_usage"]["workers_ready"], 1);
    EXPECT_EQ(model["parameter_count"], 12345);
    EXPECT_EQ(model["digest"], "0123456789abcdef0123456789abcdef");
}

}  // namespace
}  // namespace bitnetd::frontend
