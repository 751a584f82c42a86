// Generator: users of a server, in one thread. A stage's jobs wait in the agenda until they are
// due, are sent over a free connection, and leave their answer in the stage's statistics.
//   arrivals, users' think times, retries ─> agenda ─> connection ─> statistics
// It shares the machine with the server that it measures: per token it makes no allocation, and
// how late it was in sending is part of the result.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "common/base/fd.h"
#include "common/base/result.h"
#include "tests/bench/serve/address.h"
#include "tests/bench/serve/arrivals.h"
#include "tests/bench/serve/connection.h"
#include "tests/bench/serve/request_maker.h"
#include "tests/bench/serve/same_texts.h"
#include "tests/bench/serve/stage.h"
#include "tests/bench/serve/stage_statistics.h"

namespace bitnetd::bench {

struct GeneratorLimits {
    uint32_t retries = 0;             // how often a refused job obeys Retry-After
    uint64_t patience_ns = 0;         // silence after which an answer is taken for lost
    uint32_t connections_max = 8000;  // below the server's own limit
};

class Generator {
  public:
    // Five times a second, while a stage runs. False: end it now.
    using OnTick = std::function<bool(const StageStatistics&, uint64_t now_ns, uint64_t in_flight)>;

    Generator(const Address& address, RequestMaker& maker, SameTexts& same, GeneratorLimits limits);

    // Runs a stage to its end: when it returns nothing is on its way. Fails only where nothing can
    // be measured (no epoll); what goes wrong with requests is counted.
    Result<StageStatistics> run(const Stage& stage, const OnTick& on_tick);

  private:
    struct Client {
        Connection connection;
        std::string request;
        Job job;
        uint64_t idle_since_ns = 0;
        bool is_streaming = false;
    };
    struct Planned {
        uint64_t when_ns = 0;
        bool is_arrival = false;  // an open loop's: the next one follows it
        Job job;
    };
    static bool is_later(const Planned& a, const Planned& b) noexcept {
        return a.when_ns > b.when_ns;
    }
    // A stage that is running.
    struct Run {
        const Stage& stage;
        StageStatistics& statistics;
        uint64_t end_ns;  // nothing is sent from here on
        bool is_over = false;
        std::optional<PoissonArrivals> arrivals = {};
        uint64_t issued = 0;  // new jobs
        uint64_t in_flight = 0;
        uint64_t streaming = 0;
        std::vector<size_t> length_classes = {}, priority_classes = {};
    };

    void begin(Run& run, uint64_t now_ns);
    void loop(Run& run, const OnTick& on_tick);
    void plan(Planned planned);
    void plan_new(Run& run, uint64_t when_ns, uint32_t client);
    void send_due(Run& run);
    void send(Run& run, Planned planned);
    std::optional<uint32_t> free_client();
    bool is_open_for(Run& run, uint32_t index, const Planned& planned);
    void wait_and_read(Run& run, uint64_t until_ns);
    void note_streaming(Run& run, Client& client, bool is_streaming);
    void finish(Run& run, uint32_t index, uint64_t now_ns);
    bool plan_retry(Run& run, const Job& job, const Answer& answer, uint64_t now_ns);
    void give_up_silent(Run& run, uint64_t now_ns);
    void stop_sending(Run& run, uint64_t now_ns);

    const Address address_;
    RequestMaker& maker_;
    SameTexts& same_;
    const GeneratorLimits limits_;
    Fd epoll_;
    std::vector<char> buffer_;
    std::vector<std::unique_ptr<Client>> clients_;
    std::vector<uint32_t> free_;   // clients of an open loop without a job
    std::vector<Planned> agenda_;  // a heap, earliest first
    std::vector<size_t> classes_;  // scratch
    uint64_t next_number_ = 0;     // of requests, over all stages
};

}  // namespace bitnetd::bench
