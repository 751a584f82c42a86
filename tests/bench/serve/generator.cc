#include "tests/bench/serve/generator.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "common/base/clock.h"

namespace bitnetd::bench {
namespace {

constexpr uint64_t kTickNs = 200 * kNsPerMs;
// When connecting did not work: again after this.
constexpr uint64_t kReconnectNs = 10 * kNsPerMs;
// A connection that was idle for longer may be about to be closed by the server.
constexpr uint64_t kIdleNs = 50 * kNsPerS;
constexpr size_t kBufferBytes = 256 * 1024;

}  // namespace

Generator::Generator(const Address& address, RequestMaker& maker, SameTexts& same,
                     GeneratorLimits limits)
    : address_(address),
      maker_(maker),
      same_(same),
      limits_(limits),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      buffer_(kBufferBytes) {}

Result<StageStatistics> Generator::run(const Stage& stage, const OnTick& on_tick) {
    if (!epoll_) return io_error("make an epoll set", errno);
    const uint64_t now_ns = monotonic_ns();
    const RequestPlan& plan = maker_.plan();
    StageStatistics statistics(stage, now_ns, {plan.context, plan.timeout_ms != 0});
    const uint64_t length_ns =
        stage.duration_ns == 0 ? UINT64_MAX - now_ns : stage.warmup_ns + stage.duration_ns;
    Run run{.stage = stage, .statistics = statistics, .end_ns = now_ns + length_ns};
    if (maker_.has_lengths()) {
        run.length_classes = {statistics.add_class("short"), statistics.add_class("long")};
    }
    if (plan.priorities.size() > 1) {
        for (const std::string& priority : plan.priorities)
            run.priority_classes.push_back(statistics.add_class(priority));
    }
    begin(run, now_ns);
    loop(run, on_tick);
    statistics.end(monotonic_ns());
    return statistics;
}

void Generator::begin(Run& run, uint64_t now_ns) {
    agenda_.clear();
    free_.clear();
    for (uint32_t i = 0; i < clients_.size(); ++i)
        free_.push_back(i);
    if (run.stage.is_open()) {
        run.arrivals.emplace(run.stage.rate_s, run.stage.seed, now_ns);
        plan_new(run, run.arrivals->next_ns(), Job::kAnyClient);
        return;
    }
    while (clients_.size() < run.stage.clients)
        clients_.push_back(std::make_unique<Client>());
    for (uint32_t i = 0; i < run.stage.clients; ++i)
        plan_new(run, now_ns, i);
}

void Generator::loop(Run& run, const OnTick& on_tick) {
    uint64_t next_tick_ns = monotonic_ns() + kTickNs;
    while (!agenda_.empty() || run.in_flight > 0) {
        send_due(run);
        const uint64_t due_ns = agenda_.empty() ? UINT64_MAX : agenda_.front().when_ns;
        const uint64_t end_ns = run.is_over ? UINT64_MAX : run.end_ns;
        wait_and_read(run, std::min({due_ns, next_tick_ns, end_ns}));
        const uint64_t now_ns = monotonic_ns();
        if (now_ns >= run.end_ns && !run.is_over) stop_sending(run, now_ns);
        if (now_ns < next_tick_ns) continue;
        next_tick_ns = now_ns + kTickNs;
        give_up_silent(run, now_ns);
        if (!on_tick(run.statistics, now_ns, run.in_flight)) {
            stop_sending(run, now_ns);
            for (const auto& client : clients_)
                client->connection.close();
            return;
        }
    }
}

void Generator::plan(Planned planned) {
    agenda_.push_back(planned);
    std::push_heap(agenda_.begin(), agenda_.end(), is_later);
}

// The next request of a client, or of whoever arrives.
void Generator::plan_new(Run& run, uint64_t when_ns, uint32_t client) {
    if (run.is_over) return;
    if (run.stage.requests != 0 && run.issued == run.stage.requests) return;
    ++run.issued;
    Job job;
    job.facts = maker_.facts(same_.repeated(next_number_++));
    job.due_ns = when_ns;
    job.client = client;
    plan({when_ns, client == Job::kAnyClient, job});
}

void Generator::send_due(Run& run) {
    while (!agenda_.empty()) {
        const uint64_t when_ns = agenda_.front().when_ns;
        if (when_ns >= run.end_ns || when_ns > monotonic_ns()) return;
        std::pop_heap(agenda_.begin(), agenda_.end(), is_later);
        const Planned planned = agenda_.back();
        agenda_.pop_back();
        if (planned.is_arrival) plan_new(run, run.arrivals->next_ns(), Job::kAnyClient);
        send(run, planned);
    }
}

void Generator::send(Run& run, Planned planned) {
    planned.is_arrival = false;  // if it is planned again, the next one was planned already
    std::optional<uint32_t> index = planned.job.client;
    if (run.stage.is_open()) index = free_client();
    if (!index) {
        run.statistics.fail("no connection free: all " + std::to_string(limits_.connections_max) +
                            " wait for an answer");
        return;
    }
    if (!is_open_for(run, *index, planned)) {
        if (run.stage.is_open()) free_.push_back(*index);
        return;
    }
    Client& client = *clients_[*index];
    client.job = planned.job;
    client.is_streaming = false;
    Histogram* gaps = run.statistics.is_counted(client.job) ? &run.statistics.gaps : nullptr;
    client.connection.reader().begin(same_.is_on(), gaps);
    maker_.write(client.job.facts, client.request);
    client.job.sent_ns = monotonic_ns();
    client.connection.send(client.request);
    ++run.in_flight;
    run.statistics.sent(client.job);
    run.statistics.note_open(run.in_flight, run.streaming);
}

std::optional<uint32_t> Generator::free_client() {
    if (free_.empty()) {
        if (clients_.size() == limits_.connections_max) return std::nullopt;
        clients_.push_back(std::make_unique<Client>());
        return static_cast<uint32_t>(clients_.size() - 1);
    }
    const uint32_t index = free_.back();
    free_.pop_back();
    return index;
}

// False: the job is planned again for when the server may take connections, and keeps its due time.
bool Generator::is_open_for(Run& run, uint32_t index, const Planned& planned) {
    const uint64_t now_ns = monotonic_ns();
    Client& client = *clients_[index];
    Connection& connection = client.connection;
    if (connection.state() == Connection::State::kIdle && now_ns - client.idle_since_ns > kIdleNs) {
        connection.close();
    }
    if (connection.state() == Connection::State::kIdle) return true;
    const Result<bool> opened = connection.open(address_, epoll_.get(), index);
    if (opened && *opened) return true;
    if (!opened) run.statistics.fail(opened.error().message);
    Planned again = planned;
    again.when_ns = now_ns + kReconnectNs;
    plan(again);
    return false;
}

void Generator::wait_and_read(Run& run, uint64_t until_ns) {
    const uint64_t now_ns = monotonic_ns();
    const uint64_t wait_ns = until_ns > now_ns ? until_ns - now_ns : 0;
    const timespec timeout{static_cast<time_t>(wait_ns / kNsPerS),
                           static_cast<long>(wait_ns % kNsPerS)};
    std::array<epoll_event, 256> ready;
    const int count =
        epoll_pwait2(epoll_.get(), ready.data(), static_cast<int>(ready.size()), &timeout, nullptr);
    for (int i = 0; i < count; ++i) {
        const auto index = static_cast<uint32_t>(ready[static_cast<size_t>(i)].data.u64);
        Client& client = *clients_[index];
        const uint64_t read_ns = monotonic_ns();
        const bool is_complete =
            client.connection.on_ready(ready[static_cast<size_t>(i)].events, buffer_, read_ns);
        if (is_complete) {
            finish(run, index, read_ns);
        } else if (client.connection.state() == Connection::State::kBusy) {
            note_streaming(run, client, client.connection.reader().answer().first_text_ns != 0);
        }
    }
}

void Generator::note_streaming(Run& run, Client& client, bool is_streaming) {
    if (client.is_streaming == is_streaming) return;
    client.is_streaming = is_streaming;
    run.streaming += is_streaming ? 1 : uint64_t{0} - 1;
    run.statistics.note_open(run.in_flight, run.streaming);
}

void Generator::finish(Run& run, uint32_t index, uint64_t now_ns) {
    Client& client = *clients_[index];
    const Answer& answer = client.connection.reader().answer();
    note_streaming(run, client, false);
    --run.in_flight;
    client.idle_since_ns = now_ns;
    const RequestFacts& facts = client.job.facts;
    std::vector<size_t>& in_classes = classes_;
    in_classes.clear();
    if (!run.length_classes.empty())
        in_classes.push_back(run.length_classes[maker_.is_long(facts)]);
    if (!run.priority_classes.empty()) in_classes.push_back(run.priority_classes[facts.priority]);
    const Outcome outcome = run.statistics.take(client.job, answer, now_ns, in_classes);
    if (outcome == Outcome::kAnswered && same_.is_on()) same_.compare(facts.number, answer.text);
    const bool comes_back =
        outcome == Outcome::kRefused && plan_retry(run, client.job, answer, now_ns);
    if (run.stage.is_open()) {
        free_.push_back(index);
    } else if (!comes_back) {
        const bool is_broken = outcome == Outcome::kFailed;  // no storm of errors
        plan_new(run, now_ns + std::max(run.stage.think_ns, is_broken ? kReconnectNs : 0), index);
    }
}

// Exactly when it was told to. Whoever is told to come back after the end does not.
bool Generator::plan_retry(Run& run, const Job& job, const Answer& answer, uint64_t now_ns) {
    RetryCounts& counts = run.statistics.retry;
    if (limits_.retries == 0 || !answer.retry_after_ms) return false;
    const bool is_counted = run.statistics.is_counted(job);
    if (job.attempt == limits_.retries) {
        counts.given_up += is_counted;
        return false;
    }
    Job again = job;
    ++again.attempt;
    again.due_ns = now_ns + *answer.retry_after_ms * kNsPerMs;
    if (again.due_ns >= run.end_ns) {
        counts.cut += is_counted;
        return false;
    }
    plan({again.due_ns, false, again});
    return true;
}

void Generator::give_up_silent(Run& run, uint64_t now_ns) {
    for (uint32_t i = 0; i < clients_.size(); ++i) {
        Client& client = *clients_[i];
        if (client.connection.state() != Connection::State::kBusy) continue;
        Answer& answer = client.connection.reader().answer();
        const uint64_t heard_ns = std::max(client.job.sent_ns, answer.last_text_ns);
        if (now_ns < heard_ns + limits_.patience_ns) continue;
        answer.failure = "no text for " + std::to_string(limits_.patience_ns / kNsPerS) + " s";
        client.connection.close();
        finish(run, i, now_ns);
    }
}

void Generator::stop_sending(Run& run, uint64_t now_ns) {
    run.is_over = true;
    run.end_ns = std::min(run.end_ns, now_ns);
    for (const Planned& planned : agenda_)
        run.statistics.retry.cut += planned.job.attempt > 0;
    agenda_.clear();
}

}  // namespace bitnetd::bench
