// Goal: whatever a hostile or confused frontend writes, the worker answers or passes over it,
// computes nothing from it, and goes on serving others. Method: single wrong fields, wrong sizes
// and orders, and random bytes; after each, the worker still gives a good request its tokens and
// leaks no slot and no page.
#include "worker/loop/intake.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <limits>
#include <random>

#include "tests/support/worker/loop_fixture.h"

namespace bitnetd::worker {
namespace {

using shm::FailureCode;
using shm::SubmitRecord;
using test::FakeFrontend;
using test::LoopFixture;
using test::Request;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

class IntakeTest : public ::testing::Test {
  protected:
    void SetUp() override { fixture_.connect(frontend_); }

    // The failures that a submission with one field changed is answered with.
    std::vector<FailureCode> answer_to(const std::function<void(SubmitRecord&)>& change) {
        Request request;
        request.flight = ++flight_;
        SubmitRecord record = request.record();
        record.ids_here = 3;
        change(record);
        EXPECT_TRUE(frontend_.send(shm::RecordType::kSubmit, shm::bytes_of(record), request.ids));
        fixture_.settle({&frontend_});
        const auto failed = frontend_.heard(flight_).failed;
        EXPECT_TRUE(failed.empty() || frontend_.heard(flight_).tokens.empty());
        return failed;
    }

    void expect_still_serving() {
        Request request;
        request.flight = ++flight_;
        frontend_.submit(request);
        fixture_.settle({&frontend_});
        EXPECT_EQ(frontend_.heard(flight_).tokens.size(), 8u);
        EXPECT_EQ(fixture_.cache().pages().available(), fixture_.cache().pages().pages_total());
        EXPECT_EQ(fixture_.board().worker().slots_used, 0u);
    }

    // What the supervisor was told.
    std::vector<uint64_t> broken_peers() {
        shm::Channel supervisor{Fd(dup(fixture_.supervisor().get()))};
        std::vector<uint64_t> broken;
        while (true) {
            const auto message = supervisor.receive();
            if (!message.ok() || !message->has_value()) return broken;
            EXPECT_EQ((*message)->type, shm::MessageType::kPeerBroken);
            broken.push_back((*message)->as<shm::IncarnationMessage>()->incarnation);
        }
    }

    LoopFixture fixture_;
    FakeFrontend frontend_{1};
    uint64_t flight_ = 100;
};

TEST_F(IntakeTest, RefusesEveryWrongField) {
    const std::vector<std::function<void(SubmitRecord&)>> changes = {
        [](auto& r) { r.id_count = 0; },
        [](auto& r) { r.id_count = 2; },  // fewer than come
        [](auto& r) { r.prompt_count = 0; },
        [](auto& r) { r.prompt_count = 4; },
        [](auto& r) { r.position_limit = 3; },
        [](auto& r) { r.position_limit = 0; },
        [](auto& r) { r.ids_here = 2; },
        [](auto& r) { r.ids_here = 4; },
        [](auto& r) { r.ids_here = UINT32_MAX; },
        [](auto& r) { r.bias_count = shm::kLogitBiasMax + 1; },
        [](auto& r) { r.logprobs = shm::kLogprobsMax + 1; },
        [](auto& r) { r.priority = 3; },
        [](auto& r) { r.flags = 1u << 31; },
        [](auto& r) { r.flags = shm::kWantEmbedding; },  // with tokens to be drawn
        [](auto& r) {
            r.flags = shm::kWantEmbedding | shm::kScorePrompt;
            r.position_limit = 3;
        },
        [](auto& r) { r.temperature = -1; },
        [](auto& r) { r.temperature = kNan; },
        [](auto& r) { r.temperature = kInfinity; },
        [](auto& r) { r.top_p = kNan; },
        [](auto& r) { r.top_p = 1.5f; },
        [](auto& r) { r.top_p = -0.1f; },
        [](auto& r) { r.min_p = 2; },
        [](auto& r) { r.typical_p = kNan; },
        [](auto& r) { r.repetition_penalty = 0; },
        [](auto& r) { r.repetition_penalty = kInfinity; },
        [](auto& r) { r.frequency_penalty = kNan; },
        [](auto& r) { r.presence_penalty = -kInfinity; },
    };
    for (size_t i = 0; i < changes.size(); ++i) {
        EXPECT_EQ(answer_to(changes[i]), std::vector{FailureCode::kBadRecord}) << "change " << i;
    }
    EXPECT_EQ(answer_to([](auto&) {}), std::vector<FailureCode>{});
    expect_still_serving();
}

TEST_F(IntakeTest, RefusesWhatIsTooLongForItsMemory) {
    EXPECT_EQ(answer_to([](auto& r) { r.position_limit = 161; }),
              std::vector{FailureCode::kTooLong});
    EXPECT_EQ(answer_to([](auto& r) { r.position_limit = UINT32_MAX; }),
              std::vector{FailureCode::kTooLong});
    LoopFixture small({.pages = 2});
    FakeFrontend frontend(1);
    small.connect(frontend);
    Request request;
    request.new_tokens = 62;  // three pages
    frontend.submit(request);
    small.settle({&frontend});
    EXPECT_EQ(frontend.heard(1).failed, std::vector{FailureCode::kTooLong});
}

TEST_F(IntakeTest, ExtremeButValidNumbersAreServed) {
    EXPECT_EQ(answer_to([](auto& r) { r.temperature = 1e-38f; }), std::vector<FailureCode>{});
    EXPECT_EQ(answer_to([](auto& r) { r.temperature = 3e38f; }), std::vector<FailureCode>{});
    EXPECT_EQ(
        answer_to([](auto& r) { r.top_p = 0, r.min_p = 1, r.typical_p = 0, r.top_k = UINT32_MAX; }),
        std::vector<FailureCode>{});
    // Logits overflow: that flight fails, nothing else.
    EXPECT_EQ(answer_to([](auto& r) { r.repetition_penalty = 1e-38f; }),
              std::vector{FailureCode::kBadNumbers});
    expect_still_serving();
}

TEST_F(IntakeTest, RefusesIdsBeyondTheVocabulary) {
    Request request;
    request.ids = {1, 67, 2};
    frontend_.submit(request);
    request.flight = 2;
    request.ids = {1, 2, UINT32_MAX};
    frontend_.submit(request, 1);
    request.flight = 3;
    request.ids = {1, 2, 3};
    request.bias = {{67, 1}};
    frontend_.submit(request, 1);
    request.flight = 4;
    request.bias = {{5, kNan}};
    frontend_.submit(request, 1);
    fixture_.settle({&frontend_});
    for (uint64_t flight = 1; flight <= 4; ++flight) {
        EXPECT_EQ(frontend_.heard(flight).failed, std::vector{FailureCode::kBadRecord}) << flight;
        EXPECT_TRUE(frontend_.heard(flight).tokens.empty());
    }
    expect_still_serving();
}

TEST_F(IntakeTest, RefusesMoreIdsOrBiasThanAnnounced) {
    Request request;
    request.ids = LoopFixture::prompt(6, 1);
    SubmitRecord record = request.record();
    record.ids_here = 0;
    ASSERT_TRUE(frontend_.send(shm::RecordType::kSubmit, shm::bytes_of(record)));
    const shm::SubmitMoreRecord more = {1, 1, 7};
    ASSERT_TRUE(frontend_.send(shm::RecordType::kSubmitMore, shm::bytes_of(more),
                               LoopFixture::prompt(7, 1)));
    record.flight = 2;
    ASSERT_TRUE(frontend_.send(shm::RecordType::kSubmit, shm::bytes_of(record)));
    const shm::SubmitBiasRecord bias = {2, 1, 1};
    const std::vector<uint32_t> entry = {1, 0};
    ASSERT_TRUE(frontend_.send(shm::RecordType::kSubmitBias, shm::bytes_of(bias), entry));
    fixture_.settle({&frontend_});
    EXPECT_EQ(frontend_.heard(1).failed, std::vector{FailureCode::kBadRecord});
    EXPECT_EQ(frontend_.heard(2).failed, std::vector{FailureCode::kBadRecord});
    expect_still_serving();
}

TEST_F(IntakeTest, PassesOverRecordsOfFlightsItDoesNotHave) {
    const shm::SubmitMoreRecord more = {55, 1, 1};
    const std::vector<uint32_t> ids = {1};
    ASSERT_TRUE(frontend_.send(shm::RecordType::kSubmitMore, shm::bytes_of(more), ids));
    frontend_.cancel(55);
    ASSERT_TRUE(frontend_.send(shm::RecordType{999}, shm::bytes_of(more)));
    fixture_.settle({&frontend_});
    EXPECT_TRUE(frontend_.heard(55).failed.empty());
    expect_still_serving();
}

TEST_F(IntakeTest, CancelsOnlyTheAttemptNamed) {
    Request request;
    request.attempt = 2;
    frontend_.submit(request);
    frontend_.cancel(1, 1);  // an older attempt's
    fixture_.settle({&frontend_});
    EXPECT_TRUE(frontend_.heard(1).is_finished());
    request.flight = 2;
    frontend_.submit(request, 1);
    frontend_.cancel(2, 2);
    fixture_.settle({&frontend_});
    EXPECT_TRUE(frontend_.heard(2).tokens.empty());
    expect_still_serving();
}

TEST_F(IntakeTest, ANewerAttemptReplacesAnOlderOne) {
    Request request;
    request.new_tokens = 50;
    frontend_.submit(request);
    fixture_.loop().turn();
    request.attempt = 2;
    frontend_.submit(request);
    fixture_.loop().turn();
    request.attempt = 1;  // late
    frontend_.submit(request);
    fixture_.settle({&frontend_});
    EXPECT_EQ(frontend_.heard(1).failed, std::vector{FailureCode::kBadRecord});
    EXPECT_EQ(frontend_.heard(1).tokens.back().attempt, 2u);
    EXPECT_EQ(frontend_.heard(1).tokens.back().finish, shm::Finish::kLength);
    expect_still_serving();
}

TEST_F(IntakeTest, RandomRecordsDoNoHarm) {
    constexpr uint64_t kSeed = 17;
    std::printf("seed %lu\n", kSeed);
    std::mt19937_64 random(kSeed);
    for (int round = 0; round < 20'000; ++round) {
        // Half random bytes, half a plausible submission with a few bytes changed.
        std::vector<std::byte> payload(random() % 200);
        for (std::byte& value : payload)
            value = static_cast<std::byte>(random());
        if (random() % 2 == 0) {
            Request request;
            request.flight = random() % 8;
            request.attempt = static_cast<uint32_t>(random() % 4);
            SubmitRecord record = request.record();
            record.ids_here = 3;
            payload.resize(sizeof record + 12);
            std::memcpy(payload.data(), &record, sizeof record);
            for (uint64_t i = random() % 4; i > 0; --i) {
                payload[random() % payload.size()] = static_cast<std::byte>(random());
            }
        }
        const auto type = static_cast<shm::RecordType>(1 + random() % 6);
        ASSERT_TRUE(frontend_.send(type, payload));
        fixture_.loop().turn();
        frontend_.listen();
    }
    for (uint64_t flight = 0; flight < 8; ++flight) {
        for (uint32_t attempt = 0; attempt < 4; ++attempt)
            frontend_.cancel(flight, attempt);
    }
    fixture_.settle({&frontend_});
    EXPECT_FALSE(fixture_.loop().is_done());
    FakeFrontend other(2);
    fixture_.connect(other);
    Request request;
    other.submit(request);
    fixture_.settle({&frontend_, &other});
    EXPECT_TRUE(other.heard(1).is_finished());
}

TEST_F(IntakeTest, ABrokenRingDropsItsFrontendOnly) {
    FakeFrontend other(2);
    fixture_.connect(other);
    Request request;
    request.new_tokens = 60;
    frontend_.submit(request);
    other.submit(request);
    fixture_.loop().turn();
    auto* header = reinterpret_cast<shm::RingHeader*>(frontend_.request_ring().data());
    header->tail.store(header->tail.load() + (uint64_t{1} << 40));
    fixture_.settle({&other});
    EXPECT_TRUE(other.heard(1).is_finished());
    EXPECT_EQ(fixture_.cache().pages().available(), fixture_.cache().pages().pages_total());
    EXPECT_FALSE(fixture_.loop().is_done());
    EXPECT_EQ(broken_peers(), std::vector<uint64_t>{1}) << "the supervisor is told, once";
}

// Its head is the frontend's, and is looked at when the ring seems to be full.
TEST_F(IntakeTest, ABrokenTokenRingDropsItsFrontendToo) {
    FakeFrontend other(2, 4096);
    fixture_.connect(other);
    Request request;
    request.new_tokens = 140;
    other.submit(request);
    fixture_.loop().turn();
    auto* header = reinterpret_cast<shm::RingHeader*>(other.token_ring().data());
    header->head.store(uint64_t{1} << 40);
    fixture_.settle({&frontend_});
    EXPECT_EQ(broken_peers(), std::vector<uint64_t>{2});
    EXPECT_EQ(fixture_.cache().pages().available(), fixture_.cache().pages().pages_total());
    expect_still_serving();
}

}  // namespace
}  // namespace bitnetd::worker
