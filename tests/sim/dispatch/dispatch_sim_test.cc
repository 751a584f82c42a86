// Goal: whatever workers do (die, give back, hang on to old attempts, come and go), every flight
// ends
//   exactly once, with exactly the tokens, scores and embedding of its undisturbed run. A canary
//   runs only what it may, and a copy that it does not end ends with it.
// Method: random histories from a printed seed over a Dispatcher with scripted workers and a fake
//   clock. A token is a pure function of the ids before it and the seed, a score and a value of the
//   prompt and their place, so a wrong resumption shows. Replay: BITNETD_SEED=<seed>.
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "common/base/clock.h"
#include "supervisor/frontend/dispatch/dispatcher.h"
#include "tests/unit/supervisor/frontend/dispatch/fake_worker.h"

namespace bitnetd::frontend {
namespace {

constexpr uint32_t kEndId = 2;
constexpr uint32_t kVocab = 1000;
constexpr uint32_t kHidden = 50;

uint32_t next_token(const std::vector<uint32_t>& ids, uint64_t seed) {
    uint64_t hash = seed * 0x9E3779B97F4A7C15u + ids.size();
    for (const uint32_t id : ids)
        hash = (hash ^ id) * 0x100000001B3u;
    hash ^= hash >> 29;
    return hash % 40 == 0 ? kEndId : static_cast<uint32_t>(3 + hash % (kVocab - 3));
}

std::vector<uint32_t> undisturbed(const FlightSpec& spec) {
    std::vector<uint32_t> ids = *spec.prompt;
    const size_t prompt = ids.size();
    while (ids.size() < spec.position_limit) {
        ids.push_back(next_token(ids, spec.seed));
        if (ids.back() == kEndId) break;
    }
    return {ids.begin() + static_cast<ptrdiff_t>(prompt), ids.end()};
}

// The score of the prompt's token at `place`, or the embedding's value there.
float fact_of(const std::vector<uint32_t>& ids, uint32_t place) {
    uint64_t hash = 7 + place;
    for (const uint32_t id : ids)
        hash = (hash ^ id) * 0x100000001B3u;
    return -static_cast<float>(hash % 10'000);
}

std::vector<float> facts_of(const std::vector<uint32_t>& ids, uint32_t first, uint32_t end) {
    std::vector<float> facts;
    for (uint32_t place = first; place < end; ++place)
        facts.push_back(fact_of(ids, place));
    return facts;
}

struct Client {
    RecordingSink sink;
    FlightSpec spec;
    uint64_t id = 0;
    bool cancelled = false;
};

class Simulation {
  public:
    explicit Simulation(uint64_t seed) : random_(seed) {}

    void run() {
        while (clients_.size() < 150 || dispatcher_.active() + dispatcher_.copies() > 0) {
            now_ns_ += pick(3 * kNsPerMs);
            turn();
            ASSERT_LT(++turns_, 200'000u) << "some flight never ends";
        }
        for (const auto& client : clients_)
            check(*client);
        EXPECT_FALSE(dispatcher_.has_flights(1));
    }

    size_t copies() const { return copies_; }
    size_t deaths() const { return deaths_; }

  private:
    uint64_t pick(uint64_t below) { return random_() % below; }
    bool chance(uint64_t percent) { return pick(100) < percent; }

    void turn() {
        if (live_.size() < 3 && chance(20)) start_worker();
        if (clients_.size() < 150 && chance(40)) submit();
        for (auto& [incarnation, state] : live_)
            work(*state);
        for (auto& state : fenced_)
            work(*state);  // given up, but nobody told the process
        if (!live_.empty() && chance(4)) kill_one();
        if (!canaries_.empty() && chance(2)) promote_one();
        if (!clients_.empty() && chance(1)) cancel_one();
        dispatcher_.poll(now_ns_);
        for (const uint64_t canary : canaries_)
            check_canary(*live_.at(canary));
    }

    void start_worker() {
        auto state = std::make_shared<FakeWorkerState>();
        const uint64_t incarnation = ++incarnations_;
        WorkerFacts facts{incarnation, 1, 0, static_cast<uint32_t>(1 + pick(6)), "cpu:0"};
        facts.is_canary = chance(30);
        if (facts.is_canary) canaries_.insert(incarnation);
        dispatcher_.add_worker(std::move(facts), std::make_unique<FakeWorker>(state), now_ns_);
        live_.emplace(incarnation, std::move(state));
    }

    void submit() {
        auto client = std::make_unique<Client>();
        std::vector<uint32_t> prompt(1 + pick(20));
        for (uint32_t& id : prompt)
            id = static_cast<uint32_t>(3 + pick(900));
        client->spec = pick_spec(std::move(prompt));
        client->spec.seed = random_();
        client->spec.priority = static_cast<Priority>(pick(3));
        if (!canaries_.empty() && chance(30)) client->spec.only_worker = *canaries_.begin();
        client->spec.may_use_canary = chance(20);
        const auto id = dispatcher_.submit(client->spec, client->sink, now_ns_);
        if (!id) return;  // the queue is full: refused, not lost
        client->id = *id;
        copies_ += client->spec.only_worker != 0;
        by_id_[*id] = client.get();
        clients_.push_back(std::move(client));
    }

    FlightSpec pick_spec(std::vector<uint32_t> prompt) {
        switch (pick(6)) {
            case 0:
                return make_embedding_spec(std::move(prompt), kHidden);
            case 1:
                return make_scored_spec(std::move(prompt));
            case 2:
                return make_scored_spec(std::move(prompt), static_cast<uint32_t>(1 + pick(60)));
            default:
                const auto limit = static_cast<uint32_t>(prompt.size() + 1 + pick(60));
                return make_spec(std::move(prompt), limit);
        }
    }

    // One step of a worker: some of its sequences get a token, in random order.
    void work(FakeWorkerState& state) {
        state.step_plan.clear();
        std::vector<uint64_t> ids;
        for (const auto& [id, work] : state.running)
            ids.push_back(id);
        std::shuffle(ids.begin(), ids.end(), random_);
        for (const uint64_t id : ids) {
            Assignment& work = state.running[id];
            if (chance(3)) {
                state.publish_give_back(id, work.attempt, shm::GiveBackReason::kBusy);
                state.running.erase(id);
                continue;
            }
            if (!chance(70)) continue;
            state.step_plan.insert(id);
            step(state, work);
        }
    }

    void step(FakeWorkerState& state, Assignment& work) {
        if ((work.flags & shm::kWantEmbedding) != 0) return embed(state, work);
        if ((work.flags & shm::kScorePrompt) != 0) return score(state, work);
        draw(state, work);
    }

    // The next part of the embedding.
    void embed(FakeWorkerState& state, Assignment& work) {
        const uint32_t first = work.told_count;
        work.told_count = std::min<uint32_t>(kHidden, first + 1 + static_cast<uint32_t>(pick(20)));
        state.publish_embedding(work.flight, work.attempt, first,
                                facts_of(work.ids, first, work.told_count), kHidden);
        if (work.told_count == kHidden) state.running.erase(work.flight);
    }

    // The next scores of the prompt; after the last, tokens are drawn, if any are wanted.
    void score(FakeWorkerState& state, Assignment& work) {
        const uint32_t first = std::max(work.told_count, 1u);
        work.told_count =
            std::min<uint32_t>(work.prompt_count, first + 1 + static_cast<uint32_t>(pick(6)));
        state.publish_scores(work.flight, work.attempt, first,
                             facts_of(work.ids, first, work.told_count));
        if (work.told_count < work.prompt_count) return;
        work.flags &= ~uint32_t{shm::kScorePrompt};
        if (work.position_limit == work.prompt_count) state.running.erase(work.flight);
    }

    void draw(FakeWorkerState& state, Assignment& work) {
        const auto position = static_cast<uint32_t>(work.ids.size());
        const uint32_t token = next_token(work.ids, work.seed);
        work.ids.push_back(token);
        auto finish = shm::Finish::kNone;
        if (token == kEndId)
            finish = shm::Finish::kEndOfGeneration;
        else if (work.ids.size() >= work.position_limit)
            finish = shm::Finish::kLength;
        state.publish_token(work.flight, work.attempt, position, token, finish);
        if (chance(2)) state.publish_token(work.flight, work.attempt, position, token, finish);
        if (finish != shm::Finish::kNone) state.running.erase(work.flight);
    }

    // Some of what it did last is published, some is lost with it. Every death is an outside kill
    // or a clean exit here; deaths that count are DispatcherTest's.
    void kill_one() {
        auto victim = live_.begin();
        std::advance(victim, static_cast<ptrdiff_t>(pick(live_.size())));
        FakeWorkerState& state = *victim->second;
        const size_t kept = pick(state.published.size() + 1);
        state.published.resize(kept);
        ++deaths_;
        const uint64_t gone = victim->first;
        if (chance(30)) {  // unseen by a supervisor that was away itself
            std::set<uint64_t> others;
            for (const auto& [incarnation, other] : live_)
                if (incarnation != gone) others.insert(incarnation);
            dispatcher_.keep_workers(others, now_ns_);
        } else {
            dispatcher_.remove_worker(
                gone, chance(50) ? shm::PeerEnd::kKilled : shm::PeerEnd::kDrained, now_ns_);
        }
        fenced_.push_back(victim->second);
        canaries_.erase(victim->first);
        live_.erase(victim);
    }

    void promote_one() {
        const uint64_t canary = *canaries_.begin();
        canaries_.erase(canary);
        dispatcher_.promote_worker(canary, now_ns_);
    }

    // Everything that it was ever sent.
    void check_canary(const FakeWorkerState& state) {
        for (const Assignment& work : state.submissions) {
            const FlightSpec& spec = by_id_.at(work.flight)->spec;
            ASSERT_TRUE(spec.may_use_canary || spec.only_worker != 0);
        }
    }

    void cancel_one() {
        Client& client = *clients_[pick(clients_.size())];
        if (!client.sink.ends.empty() || client.cancelled) return;
        client.cancelled = true;
        dispatcher_.cancel(client.id, now_ns_);
    }

    static bool has_lost_its_worker(const Client& client) {
        return client.spec.only_worker != 0 &&
               client.sink.ends == std::vector{EndReason::kCanaryGone};
    }

    template <typename T>
    static void check_list(const Client& client, const std::vector<T>& got,
                           const std::vector<T>& expected) {
        if (!client.cancelled && !has_lost_its_worker(client)) {
            ASSERT_EQ(got, expected);
            return;
        }
        ASSERT_LE(got.size(), expected.size());
        ASSERT_TRUE(std::equal(got.begin(), got.end(), expected.begin()));
    }

    static void check(const Client& client) {
        const FlightSpec& spec = client.spec;
        const auto prompt_count = static_cast<uint32_t>(spec.prompt->size());
        const bool is_scored = (spec.flags & shm::kScorePrompt) != 0;
        const bool is_embedding = (spec.flags & shm::kWantEmbedding) != 0;
        const auto tokens = undisturbed(spec);
        check_list(client, client.sink.ids, tokens);
        check_list(client, client.sink.scores,
                   facts_of(*spec.prompt, 1, is_scored ? prompt_count : 1));
        check_list(client, client.sink.values,
                   facts_of(*spec.prompt, 0, is_embedding ? kHidden : 0));
        ASSERT_EQ(client.sink.ids_before_scores, 0u);
        if (client.cancelled) {
            ASSERT_TRUE(client.sink.ends.empty());
            return;
        }
        if (has_lost_its_worker(client)) return;
        const bool is_stop = !tokens.empty() && tokens.back() == kEndId;
        ASSERT_EQ(client.sink.ends, std::vector{is_stop ? EndReason::kStop : EndReason::kLength});
    }

    std::mt19937_64 random_;
    TestBoard board_;
    uint64_t now_ns_ = kNsPerS;
    Dispatcher dispatcher_{board_.writer(), 20};
    std::vector<std::unique_ptr<Client>> clients_;
    std::map<uint64_t, std::shared_ptr<FakeWorkerState>> live_;
    std::vector<std::shared_ptr<FakeWorkerState>> fenced_;
    std::set<uint64_t> canaries_;        // of live_
    std::map<uint64_t, Client*> by_id_;  // of clients_
    uint64_t incarnations_ = 0;
    size_t copies_ = 0;
    size_t deaths_ = 0;
    size_t turns_ = 0;
};

TEST(DispatchSim, EveryFlightEndsOnceWithItsOwnTokens) {
    const char* fixed = std::getenv("BITNETD_SEED");
    const uint64_t first =
        fixed != nullptr ? std::strtoull(fixed, nullptr, 10) : std::random_device{}();
    const int rounds = fixed != nullptr ? 1 : 40;
    size_t copies = 0;
    size_t deaths = 0;
    for (int i = 0; i < rounds; ++i) {
        const uint64_t seed = first + static_cast<uint64_t>(i);
        SCOPED_TRACE("BITNETD_SEED=" + std::to_string(seed));
        Simulation simulation(seed);
        simulation.run();
        if (testing::Test::HasFatalFailure()) return;
        copies += simulation.copies();
        deaths += simulation.deaths();
    }
    if (fixed == nullptr) {  // one history alone may have no canary
        EXPECT_GT(copies, 0u);
        EXPECT_GT(deaths, 0u);
    }
    std::printf("seeds %llu ..+%d\n", static_cast<unsigned long long>(first), rounds - 1);
}

}  // namespace
}  // namespace bitnetd::frontend
