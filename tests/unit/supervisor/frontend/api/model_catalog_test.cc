// Goal: a model begins, serves, retires and returns without a moment in which its id names nothing,
// and is told as released exactly once nothing needs it.
// Method: the catalog alone, then beside a dispatcher and an Api with a pool that runs when told;
// random histories of requests, swaps and deaths (replay: BITNETD_SEED).
#include "supervisor/frontend/api/model_catalog.h"

#include <cstdlib>
#include <random>
#include <set>

#include "tests/unit/supervisor/frontend/api/api_fixture.h"

namespace bitnetd::frontend {
namespace {

using shm::ModelStanding;

std::shared_ptr<const Model> model_of(std::string_view id, uint64_t key) {
    return make_test_model(make_test_image(), id, key);
}

class ModelCatalogTest : public ApiTest {
  protected:
    // The key of the model that a request naming `id` would use; 0: none.
    uint64_t found(std::string_view id) const {
        const auto model = find_model(*catalog_.list(), id);
        return model == nullptr ? 0 : model->key;
    }
    std::vector<uint64_t> released() {
        turn();
        return catalog_.take_released(
            [this](uint64_t key) { return dispatcher_.has_flights(key); });
    }
    using Keys = std::vector<uint64_t>;
};

TEST_F(ModelCatalogTest, WhoBeginsToServeTakesTheIdOver) {
    catalog_.add(model_of("tiny", 2), ModelStanding::kCanary);
    EXPECT_EQ(found("tiny"), kTestModelKey) << "on trial";
    EXPECT_EQ(found(""), kTestModelKey);
    catalog_.set_standing(2, ModelStanding::kServing, true);
    EXPECT_EQ(found("tiny"), 2u);
    EXPECT_EQ(found(""), 2u);
    EXPECT_EQ(catalog_.list()->size(), 2u) << "the old one is still there";
    EXPECT_EQ(count_serving(*catalog_.list()), 1u);
    EXPECT_EQ(released(), Keys{kTestModelKey});
    catalog_.remove(kTestModelKey);
    EXPECT_EQ(catalog_.list()->size(), 1u);
    catalog_.set_standing(kTestModelKey, ModelStanding::kServing, true);
    EXPECT_EQ(found("tiny"), 2u) << "a key that has gone stays gone";
}

TEST_F(ModelCatalogTest, ARollbackTakesTheIdBack) {
    catalog_.add(model_of("tiny", 2), ModelStanding::kServing, true);
    catalog_.set_standing(kTestModelKey, ModelStanding::kServing, true);
    EXPECT_EQ(found("tiny"), kTestModelKey);
    EXPECT_EQ(released(), Keys{2}) << "the one that serves again is not released";
    EXPECT_EQ(released(), Keys{}) << "once";
    catalog_.set_standing(2, ModelStanding::kServing, true);
    EXPECT_EQ(released(), Keys{kTestModelKey}) << "a later retirement counts anew";
    catalog_.set_standing(kTestModelKey, ModelStanding::kRetiring, false);
    EXPECT_EQ(released(), Keys{kTestModelKey}) << "a supervisor that restarted asks again";
}

TEST_F(ModelCatalogTest, OtherIdsServeOn) {
    catalog_.add(model_of("other", 2), ModelStanding::kServing, false);
    EXPECT_EQ(found("tiny"), kTestModelKey);
    EXPECT_EQ(found("other"), 2u);
    catalog_.set_standing(2, ModelStanding::kServing, true);
    EXPECT_EQ(found(""), 2u) << "only who is the default changed";
    EXPECT_EQ(found("tiny"), kTestModelKey);
    catalog_.set_standing(2, ModelStanding::kRetiring, false);
    EXPECT_EQ(found("other"), 0u);
    EXPECT_EQ(found(""), kTestModelKey) << "rather any than none";
}

TEST_F(ModelCatalogTest, OneThatWasRefusedIsReleasedAtOnce) {
    catalog_.set_standing(7, ModelStanding::kCanary, false);
    EXPECT_EQ(released(), Keys{});
    catalog_.set_standing(7, ModelStanding::kRetiring, false);
    EXPECT_EQ(released(), Keys{7}) << "the rollout's way back waits for it";
    EXPECT_EQ(released(), Keys{});
}

TEST_F(ModelCatalogTest, AFlightKeepsItsModel) {
    add_worker();
    FakeExchange& client = complete({{"prompt", "ab"}, {"max_tokens", 2}});
    catalog_.add(model_of("tiny", 2), ModelStanding::kServing, true);
    EXPECT_EQ(released(), Keys{}) << "one is running";
    produce_text(0, "xy", shm::Finish::kLength);
    EXPECT_TRUE(client.answered());
    EXPECT_EQ(released(), Keys{kTestModelKey});
}

TEST_F(ModelCatalogTest, AQueuedFlightKeepsItsModel) {
    add_worker(/*credits=*/0);
    FakeExchange& client = complete({{"prompt", "ab"}, {"max_tokens", 2}});
    ASSERT_FALSE(client.answered());
    catalog_.set_standing(kTestModelKey, ModelStanding::kRetiring, false);
    EXPECT_EQ(released(), Keys{});
    std::exchange(client.on_gone, {})();
    EXPECT_EQ(released(), Keys{kTestModelKey}) << "its client left";
}

TEST_F(ModelCatalogTest, AFlightWithoutARequestKeepsItsModelToo) {
    RecordingSink sink;
    const auto flight = dispatcher_.submit(make_spec({1, 2}, 9), sink, monotonic_ns());
    ASSERT_TRUE(flight);
    catalog_.set_standing(kTestModelKey, ModelStanding::kRetiring, false);
    EXPECT_EQ(released(), Keys{});
    dispatcher_.cancel(*flight, monotonic_ns());
    EXPECT_EQ(released(), Keys{kTestModelKey});
}

TEST_F(ModelCatalogTest, ARequestOnThePoolKeepsItsModel) {
    add_worker();
    tasks_.at_once = false;
    FakeExchange& client = chat({{"max_tokens", 1}});
    catalog_.add(model_of("tiny", 2), ModelStanding::kServing, true);
    EXPECT_EQ(released(), Keys{}) << "it may be prepared for the old one";
    tasks_.run_all();
    ASSERT_EQ(worker_->submissions.size(), 1u) << "and is served by it";
    EXPECT_EQ(released(), Keys{});
    produce_text(0, "x", shm::Finish::kLength);
    EXPECT_TRUE(client.answered());
    EXPECT_EQ(released(), Keys{kTestModelKey});
}

TEST_F(ModelCatalogTest, OnlyWhatServesIsAskedOfHealthAndMetrics) {
    add_worker();
    catalog_.add(model_of("tiny", 2), ModelStanding::kCanary);
    const Json health = send(Method::kGet, "/health").body();
    EXPECT_EQ(health["components"]["models"]["status"], "healthy") << health.dump();
    const std::string metrics = ask(Method::kGet, "/metrics").response->body;
    const std::string line = "\nbitnet_model_weights_bytes{model=\"tiny\"}";
    EXPECT_NE(metrics.find(line), metrics.npos);
    EXPECT_EQ(metrics.find(line, metrics.find(line) + 1), metrics.npos) << "one for each id";
}

// Requests, swaps, rollbacks, deaths and clients that leave, in any order.
class History : public ModelCatalogTest {
  protected:
    void run(uint64_t seed) {
        random_.seed(seed);
        swap();
        for (int i = 0; i < 300; ++i) {
            act();
            turn_all();
        }
        tasks_.run_all();
        for (int i = 0; i < 1000 && dispatcher_.active() > 0; ++i)
            turn_all();
        turn_all();
        EXPECT_EQ(owed_, std::set<uint64_t>()) << "retired, needed by nobody, and not told so";
        size_t served = 0;
        for (const Asked& asked : asked_) {
            if (asked.has_left) continue;
            ASSERT_TRUE(asked.client->answered()) << "lost";
            const int status = asked.client->response->status;
            ASSERT_TRUE(status == 200 || status == 503) << asked.client->response->body;
            served += status == 200;  // 503: more than the queue takes, and told so
        }
        EXPECT_GT(served, 0u);
    }

  private:
    struct Asked {
        FakeExchange* client;
        uint64_t key;  // of the model that served when it asked
        bool has_left = false;
        bool is_open() const { return !has_left && !client->answered(); }
    };
    size_t pick(size_t below) { return random_() % below; }

    void act() {
        tasks_.at_once = pick(3) == 0;
        const size_t action = pick(20);
        if (action < 12) {
            ask();
        } else if (action < 14) {
            swap();
        } else if (action < 16) {
            catalog_.set_standing(1 + pick(keys_), ModelStanding::kRetiring, false);
        } else if (action < 17) {
            leave();
        } else if (action < 18) {
            tasks_.run_all();
        } else if (!workers_.empty()) {
            restart(std::next(workers_.begin(), static_cast<ptrdiff_t>(pick(workers_.size()))));
        }
        note_standings();
    }

    void ask() {
        const uint64_t key = found("tiny");
        if (!workers_.contains(key)) return;
        const std::string blanks(pick(2) == 0 ? 0 : 20'000, ' ');  // half of them on the pool
        auto& client = send(Method::kPost, "/v1/completions",
                            blanks + R"({"model":"tiny","prompt":"a","max_tokens":3})");
        asked_.push_back({&client, key});
    }
    // A new one serves; or an old one again.
    void swap() {
        const bool is_new = keys_ < 2 || pick(2) == 0;
        const uint64_t key = is_new ? ++keys_ : 1 + pick(keys_);
        if (is_new) {
            catalog_.add(model_of("tiny", key), ModelStanding::kCanary);
            admission_.add_model(key, monotonic_ns());
            workers_[key] = {};
            restart(workers_.find(key));
        }
        catalog_.set_standing(key, ModelStanding::kServing, true);
    }
    void restart(std::map<uint64_t, std::shared_ptr<FakeWorkerState>>::iterator worker) {
        dispatcher_.remove_worker(incarnations_[worker->first], shm::PeerEnd::kKilled,
                                  monotonic_ns());
        worker->second = std::make_shared<FakeWorkerState>();
        incarnations_[worker->first] = ++incarnation_;
        dispatcher_.add_worker({incarnation_, worker->first, 0, 3, "cpu:0"},
                               std::make_unique<FakeWorker>(worker->second), monotonic_ns());
    }
    void leave() {
        for (Asked& asked : asked_) {
            if (!asked.is_open() || pick(2) == 0) continue;
            asked.has_left = true;
            return std::exchange(asked.client->on_gone, {})();
        }
    }

    // Who begins to retire owes a release; who serves again does not.
    void note_standings() {
        for (const ListedModel& model : *catalog_.list()) {
            ModelStanding& before =
                standings_.try_emplace(model->key, model.standing).first->second;
            if (model.is_serving()) owed_.erase(model->key);
            if (model.standing == ModelStanding::kRetiring && before != model.standing)
                owed_.insert(model->key);
            before = model.standing;
        }
    }

    void turn_all() {
        for (auto& [key, worker] : workers_)
            work(*worker);
        for (const uint64_t key : released()) {
            // Told to retire twice is released twice.
            owed_.erase(key);
            EXPECT_EQ(standings_[key], ModelStanding::kRetiring);
            for (const Asked& asked : asked_)
                EXPECT_FALSE(asked.key == key && asked.is_open()) << "it is still needed";
        }
    }
    void work(FakeWorkerState& worker) {
        const auto running = worker.running;
        for (auto [flight, work] : running) {
            if (pick(3) == 0) continue;
            const auto position = static_cast<uint32_t>(work.ids.size());
            const bool is_last = position + 1 == work.position_limit;
            worker.publish_token(flight, work.attempt, position, 'x',
                                 is_last ? shm::Finish::kLength : shm::Finish::kNone);
            worker.running[flight].ids.push_back('x');
            if (is_last) worker.running.erase(flight);
        }
    }

    std::mt19937_64 random_;
    uint64_t keys_ = 0;  // 1 .. keys_ were added; 1 is the fixture's
    std::map<uint64_t, std::shared_ptr<FakeWorkerState>> workers_;  // by model key
    std::map<uint64_t, uint64_t> incarnations_;                     // likewise
    std::map<uint64_t, ModelStanding> standings_;
    std::set<uint64_t> owed_;
    std::vector<Asked> asked_;
};

class Histories : public History, public testing::WithParamInterface<int> {};

TEST_P(Histories, NoRequestIsLostAndEveryRetiredModelIsReleased) {
    const char* fixed = std::getenv("BITNETD_SEED");
    const uint64_t seed =
        fixed != nullptr ? std::strtoull(fixed, nullptr, 10) : std::random_device{}();
    SCOPED_TRACE("BITNETD_SEED=" + std::to_string(seed));
    run(seed);
}

INSTANTIATE_TEST_SUITE_P(Random, Histories, testing::Range(0, 8));

}  // namespace
}  // namespace bitnetd::frontend
