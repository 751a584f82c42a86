// Goal: a model begins, serves, retires and returns without a moment in which its id names nothing,
// and is told as released exactly once nothing needs it.
// Method: the catalog alone, then beside a dispatcher and an Api with a pool that runs when told.
#include "supervisor/frontend/api/model_catalog.h"

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
    const std::string metrics = send(Method::kGet, "/metrics").response->body;
    const std::string line = "\nbitnet_model_weights_bytes{model=\"tiny\"}";
    EXPECT_NE(metrics.find(line), metrics.npos);
    EXPECT_EQ(metrics.find(line, metrics.find(line) + 1), metrics.npos) << "one for each id";
}

}  // namespace
}  // namespace bitnetd::frontend
