// Dispatch: keeps every flight from admission to its end, chooses its worker, takes its tokens in
// and re-dispatches what a lost worker had (mechanics.md section 1).
//   Owns   the flights, the waiting queue, what each worker incarnation has, the quarantine.
//   Never  JSON, HTTP, text; a blocking call; a token taken from an attempt that is not current.
// Time is passed in, and workers are WorkerPorts, so that tests/sim runs it without a clock or a
// ring. Frontend process, loop thread only. Nothing here survives the process: its flights end with
// it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "shm/abi/control_abi.h"
#include "shm/board/board.h"
#include "supervisor/frontend/dispatch/drain_meter.h"
#include "supervisor/frontend/dispatch/flight.h"
#include "supervisor/frontend/dispatch/prefix_memory.h"
#include "supervisor/frontend/dispatch/quarantine.h"
#include "supervisor/frontend/dispatch/waiting_queue.h"
#include "supervisor/frontend/dispatch/worker_port.h"

namespace bitnetd::frontend {

// A worker incarnation as the supervisor introduced it (shm::PeerMessage).
struct WorkerFacts {
    uint64_t incarnation = 0;
    uint64_t model_key = 0;
    uint32_t slot = 0;
    uint32_t credits = 0;         // flights this frontend may have on it at once
    std::string device;           // "cpu:0"
    std::string kernel_isa = "";  // "avx512vnni"
    bool is_canary = false;       // on trial: copies, and flights that may use it
};

class Dispatcher {
  public:
    // `board` is this process's own and outlives the dispatcher.
    Dispatcher(shm::BoardWriter& board, size_t queue_depth_max);

    // Admission. `sink` lives until on_end() or cancel(). Nothing: the queue is full, or of a copy,
    // its worker is not there. A copy takes no place in the queue: it waits at its worker.
    std::optional<uint64_t> submit(FlightSpec spec, FlightSink& sink, uint64_t now_ns);
    // Both: the sink hears no more, the worker is told, unknown ids are ignored.
    void cancel(uint64_t flight, uint64_t now_ns);    // the client is gone
    void complete(uint64_t flight, uint64_t now_ns);  // it has enough: a stop string

    void add_worker(WorkerFacts facts, std::unique_ptr<WorkerPort> port, uint64_t now_ns);
    // Fences a worker: takes in what it had published, then gives its flights to others. Deaths of
    // its own fault count against the flights it was working on.
    void remove_worker(uint64_t incarnation, shm::PeerEnd end, uint64_t now_ns);
    // After a supervisor's restart: workers that are not among these died meanwhile.
    void keep_workers(const std::set<uint64_t>& incarnations, uint64_t now_ns);
    bool knows_worker(uint64_t incarnation) const { return workers_.contains(incarnation); }
    // A canary becomes a worker like any other. Unknown ones are ignored.
    void promote_worker(uint64_t incarnation, uint64_t now_ns);
    // Whether a canary would have a flight at once.
    bool has_place(uint64_t incarnation, uint64_t now_ns) const;
    // Its waiting flights end once no worker of it is left.
    void remove_model(uint64_t model_key, uint64_t now_ns);

    // One turn: takes in all published records, tells the sinks, ends what is overdue, hands out
    // waiting flights. True when something arrived.
    bool poll(uint64_t now_ns);
    // Workers that poll() retired for what they published, by incarnation, each once: nobody else
    // knows of it.
    std::vector<uint64_t> take_broken() { return std::exchange(broken_, {}); }
    // Ends every flight (the process is about to exit).
    void end_all(EndReason reason, uint64_t now_ns);

    // Whether some worker published what was not taken in: the look between
    // Doorbell::prepare_sleep() and poll(2).
    bool has_records() noexcept;
    // When poll() must be called next at the latest, even if no doorbell rings.
    uint64_t wake_at_ns(uint64_t now_ns) const;

    size_t active() const { return flights_.size() - copies_; }
    size_t copies() const { return copies_; }
    size_t waiting() const { return queue_.size(); }
    size_t room() const {
        return queue_.size() < queue_depth_max_ ? queue_depth_max_ - queue_.size() : 0;
    }
    // How long a new flight would wait for a worker, from the measured pace of the queue and what
    // is ahead of it; 0 when it would not wait, or nothing is measured yet.
    uint64_t wait_ns(uint64_t model_key, Priority priority, uint64_t now_ns) const;
    // Per flight of the model that leaves the queue; 0: not measured yet.
    uint64_t pace_ns(uint64_t model_key, uint64_t now_ns) const;
    // From a flight's dispatch to its end, on the average of the last ones; 0: none has ended.
    uint64_t service_ns(uint64_t model_key) const;
    // Of a prompt, on the worker of the model that would have it first, what it may still have in
    // its cache counted; 0: not measured yet.
    uint64_t prefill_ns(uint64_t model_key, std::span<const uint32_t> prompt) const;
    bool has_ready_worker(uint64_t model_key) const;
    // Queued or running.
    bool has_flights(uint64_t model_key) const;
    bool is_quarantined(const PromptDigest& digest, uint64_t now_ns) {
        return quarantine_.refuses(digest, now_ns);
    }

    struct WorkerView {
        const WorkerFacts& facts;
        size_t flights;
        bool ready;
    };
    std::vector<WorkerView> workers() const;

  private:
    struct Worker {
        WorkerFacts facts;
        std::unique_ptr<WorkerPort> port;
        std::set<uint64_t> flights;         // ids, so in order of admission
        std::set<uint64_t> waiting_copies;  // ids
        PrefixMemory prefixes;
        uint64_t unbegun_tokens = 0;   // of its flights that have not started
        uint64_t paused_until_ns = 0;  // it said busy
        uint64_t reserved_for = 0;     // a flight that must run alone, or 0
        bool is_draining = false;      // takes nothing new
        bool is_broken = false;        // published something that cannot be true
    };
    class Events;  // WorkerEvents of one worker during one drain

    // What was measured of a model's flights.
    struct Pace {
        DrainMeter departures;       // from the queue
        double mean_tokens = 128;    // drawn by flights that ended by themselves
        double mean_service_ns = 0;  // from dispatch to end; 0: none has ended
    };

    void enlist(Flight& flight);
    void unlist(Flight& flight);
    void count(const Flight& flight, Counter counter, uint64_t times = 1);
    void record_ns(const Flight& flight, Histogram histogram, uint64_t ns);
    void note_device(Flight& flight, const Worker& worker);

    void take_started(Worker& worker, const shm::StartedRecord& record, uint64_t now_ns);
    void take_token(Worker& worker, const shm::TokenRecord& record,
                    std::span<const shm::Alternative> alternatives, uint64_t now_ns);
    void take_prompt_scores(Worker& worker, const shm::PromptScoresRecord& record,
                            std::span<const PromptScore> scores,
                            std::span<const shm::Alternative> alternatives);
    void take_embedding(Worker& worker, const shm::EmbeddingRecord& record,
                        std::span<const float> values);
    void take_give_back(Worker& worker, const shm::GiveBackRecord& record, uint64_t now_ns);
    void take_failed(Worker& worker, const shm::FailedRecord& record);

    bool drain(Worker& worker, uint64_t now_ns);
    void retire(std::map<uint64_t, Worker>::iterator worker, shm::PeerEnd end, uint64_t now_ns);
    void end_copies(std::set<uint64_t> ids);
    void count_death(Flight& flight, uint64_t now_ns);
    void tell_sinks(uint64_t now_ns);
    void tell(uint64_t flight, uint64_t now_ns);
    bool tell_news(uint64_t flight);
    void end_overdue(uint64_t now_ns);
    void end_orphans(uint64_t model_key, EndReason reason);

    void assign(uint64_t now_ns);
    void assign_copies(Worker& worker, uint64_t now_ns);
    void assign_alone(uint64_t model_key, uint64_t now_ns);
    Worker* choose(const Flight& flight, uint64_t now_ns);
    bool has_pages(const Worker& worker, const WorkerLoad& load, const Flight& flight) const;
    uint64_t expected_tokens(const Flight& flight) const;
    static bool is_open(const Worker& worker, uint64_t now_ns);
    static bool may_take(const Worker& worker, const Flight& flight, uint64_t now_ns);
    // Who asks for figures of the model means workers that take its flights: no canary.
    static bool serves(const Worker& worker, uint64_t model_key) {
        return worker.facts.model_key == model_key && !worker.facts.is_canary;
    }
    void dispatch(Flight& flight, Worker& worker, uint64_t now_ns);

    Flight* current(const Worker& worker, uint64_t flight, uint32_t attempt);
    Flight* find(uint64_t flight);
    void mark_dirty(Flight& flight);
    void mark_ended(Flight& flight, EndReason reason);
    void take_from_worker(Flight& flight, bool tell_worker);
    void drop(uint64_t flight, Counter outcome, uint64_t now_ns);
    std::unique_ptr<Flight> extract(uint64_t flight);
    void note_end(const Flight& flight, uint64_t now_ns);
    void show_gauges();

    shm::BoardWriter& board_;
    const size_t queue_depth_max_;
    uint64_t last_flight_ = 0;
    std::unordered_map<uint64_t, std::unique_ptr<Flight>> flights_;
    std::set<std::pair<uint64_t, uint64_t>> deadlines_;  // deadline_ns, id
    std::map<uint64_t, Worker> workers_;                 // by incarnation
    std::set<uint64_t> models_gone_;
    std::vector<uint64_t> broken_;  // see take_broken()
    std::vector<uint64_t> dirty_;   // flights with news for their sink
    WaitingQueue queue_;
    size_t copies_ = 0;               // of flights_
    std::map<uint64_t, Pace> paces_;  // by model key
    Quarantine quarantine_;
};

}  // namespace bitnetd::frontend
