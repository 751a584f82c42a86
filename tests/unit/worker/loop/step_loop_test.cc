// Goal: a generation's tokens and log probabilities have the same bits alone, in a batch, in other
// chunks, and continued from the middle; nothing is lost when a ring is full, a frontend goes, or
// the worker drains. Method: the loop over real rings (loop_fixture.h), turn by turn.
#include "worker/loop/step_loop.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/support/worker/loop_fixture.h"
#include "worker/model/null_engine.h"

namespace bitnetd::worker {
namespace {

using test::FakeFrontend;
using test::Heard;
using test::LoopFixture;
using test::Request;

Request request_of(uint64_t flight) {
    Request request;
    request.flight = flight;
    request.ids = LoopFixture::prompt(10 + static_cast<uint32_t>(flight * 7 % 50), flight);
    request.new_tokens = 20;
    request.sampling.seed = flight * 31;
    request.sampling.alternatives_count = 3;
    if (flight % 3 == 1) request.sampling.temperature = 0;
    if (flight % 3 == 2) request.sampling.top_p = 0.8f, request.sampling.repetition_penalty = 1.2f;
    return request;
}

Heard run_alone(const Request& request, LoopFixture::Options options = {}) {
    LoopFixture fixture(options);
    FakeFrontend frontend(1);
    fixture.connect(frontend);
    frontend.submit(request);
    fixture.settle({&frontend});
    return frontend.heard(request.flight);
}

void expect_same(const Heard& a, const Heard& b) {
    EXPECT_EQ(a.ids(), b.ids());
    EXPECT_EQ(a.logprobs(), b.logprobs());
    ASSERT_EQ(a.alternatives.size(), b.alternatives.size());
    for (size_t i = 0; i < a.alternatives.size(); ++i) {
        ASSERT_EQ(a.alternatives[i].size(), b.alternatives[i].size());
        for (size_t j = 0; j < a.alternatives[i].size(); ++j) {
            EXPECT_EQ(a.alternatives[i][j].token, b.alternatives[i][j].token);
            EXPECT_EQ(a.alternatives[i][j].logprob, b.alternatives[i][j].logprob);
        }
    }
}

// Goes round 5 6 7 8 9 10, whatever the sequence.
class ChainEngine final : public Engine {
  public:
    void step(std::span<const Row> rows, std::span<const Draw> draws) noexcept override {
        for (const Draw& draw : draws) {
            const uint32_t token = rows[draw.row].token;
            draw.drawn->valid = token != bad_after;
            draw.drawn->token = token >= 10 ? 5 : token + 1;
            draw.drawn->scores = {};
        }
    }
    std::span<const float> hidden_of(uint32_t) noexcept override { return {}; }
    uint32_t bad_after = UINT32_MAX;
};  // namespace bitnetd::worker

TEST(StepLoop, GeneratesUpToTheLimit) {
    const Request request = request_of(5);
    const Heard heard = run_alone(request);
    ASSERT_EQ(heard.tokens.size(), 20u);
    ASSERT_EQ(heard.started.size(), 1u);
    EXPECT_LE(heard.started[0].admitted_ns, heard.started[0].prefill_done_ns);
    for (uint32_t i = 0; i < 20; ++i) {
        EXPECT_EQ(heard.tokens[i].position, request.ids.size() + i);
        EXPECT_EQ(heard.tokens[i].attempt, 1u);
        EXPECT_EQ(heard.tokens[i].finish, i == 19 ? shm::Finish::kLength : shm::Finish::kNone);
        EXPECT_LE(heard.tokens[i].logprob, 0);
        EXPECT_EQ(heard.alternatives[i].size(), 3u);
    }
    EXPECT_TRUE(heard.failed.empty() && heard.given_back.empty());
}

TEST(StepLoop, SameBitsInABatchAndInOtherChunks) {
    for (const uint32_t step_tokens_max : {16u, 256u}) {
        LoopFixture fixture({.step_tokens_max = step_tokens_max, .threads = 2});
        FakeFrontend frontend(1);
        fixture.connect(frontend);
        for (uint64_t flight = 1; flight <= 16; ++flight)
            frontend.submit(request_of(flight), 9);
        fixture.settle({&frontend});
        for (uint64_t flight = 1; flight <= 16; ++flight) {
            SCOPED_TRACE(flight);
            expect_same(frontend.heard(flight), run_alone(request_of(flight)));
        }
    }
}

TEST(StepLoop, ContinuesFromTheMiddleWithTheSameBits) {
    for (const uint64_t flight : {1u, 2u, 3u}) {
        SCOPED_TRACE(flight);
        const Heard whole = run_alone(request_of(flight));
        LoopFixture fixture;
        FakeFrontend frontend(1);
        fixture.connect(frontend);
        frontend.submit(request_of(flight));
        while (frontend.heard(flight).tokens.size() < 7) {
            ASSERT_TRUE(fixture.loop().turn());
            frontend.listen();
        }
        frontend.cancel(flight);
        fixture.settle({&frontend});
        ASSERT_LT(frontend.heard(flight).tokens.size(), 20u);
        EXPECT_EQ(fixture.cache().pages().available(), fixture.cache().pages().pages_total());
        // The frontend sends prompt + produced again, as another attempt.
        Request rest = request_of(flight);
        rest.prompt_count = static_cast<uint32_t>(rest.ids.size());
        rest.attempt = 2;
        Heard joined;
        for (size_t i = 0; i < 7; ++i) {
            rest.ids.push_back(frontend.heard(flight).tokens[i].token);
            joined.tokens.push_back(frontend.heard(flight).tokens[i]);
            joined.alternatives.push_back(frontend.heard(flight).alternatives[i]);
        }
        frontend.submit(rest);
        fixture.settle({&frontend});
        const Heard& heard = frontend.heard(flight);
        for (size_t i = 0; i < heard.tokens.size(); ++i) {
            if (heard.tokens[i].attempt != 2) continue;
            joined.tokens.push_back(heard.tokens[i]);
            joined.alternatives.push_back(heard.alternatives[i]);
        }
        expect_same(joined, whole);
    }
}

TEST(StepLoop, EndOfGenerationEndsAndWinsOverTheLimit) {
    Request request = request_of(4);
    request.sampling.temperature = 0;
    const auto plain = run_alone(request).ids();
    LoopFixture::Options options;
    options.end_ids = {plain[2]};
    const size_t first =
        static_cast<size_t>(std::find(plain.begin(), plain.end(), plain[2]) - plain.begin());
    Heard heard = run_alone(request, options);
    ASSERT_EQ(heard.tokens.size(), first + 1);
    EXPECT_EQ(heard.tokens.back().finish, shm::Finish::kEndOfGeneration);
    request.new_tokens = static_cast<uint32_t>(first) + 1;
    EXPECT_EQ(run_alone(request, options).tokens.back().finish, shm::Finish::kEndOfGeneration);
    request.sampling.ignore_eos = true;
    heard = run_alone(request, options);
    EXPECT_EQ(heard.tokens.back().finish, shm::Finish::kLength);
    EXPECT_NE(heard.ids().back(), plain[2]);
}

TEST(StepLoop, BiasArrivesBeforeTheLastIds) {
    Request request = request_of(6);
    request.sampling.temperature = 0;
    request.bias = {{11, 1000}};
    LoopFixture fixture;
    FakeFrontend frontend(1);
    fixture.connect(frontend);
    frontend.submit(request, 4);
    fixture.settle({&frontend});
    EXPECT_EQ(frontend.heard(6).ids(), std::vector<uint32_t>(20, 11));
}

TEST(StepLoop, AFullTokenRingHoldsItsSequencesOnlyAndLosesNothing) {
    LoopFixture fixture;
    FakeFrontend slow(1, 4096);
    FakeFrontend quick(2);
    fixture.connect(slow);
    fixture.connect(quick);
    Request request = request_of(3);
    request.new_tokens = 90;
    request.sampling.alternatives_count = 20;
    slow.submit(request);
    Request other = request_of(4);
    other.new_tokens = 90;
    quick.submit(other);
    bool busy = true;
    while (busy) {  // nobody listens to the slow one's ring
        busy = fixture.loop().turn();
        quick.listen();
    }
    EXPECT_TRUE(quick.heard(4).is_finished());
    EXPECT_LT(fixture.cache().pages().available(), fixture.cache().pages().pages_total());
    // A cancellation behind a full ring waits for room, then is heard.
    slow.listen(1);
    for (int i = 0; i < 4000 && !slow.heard(3).is_finished(); ++i) {
        fixture.loop().turn();
        slow.listen(1);
    }
    expect_same(slow.heard(3), run_alone(request));
    expect_same(quick.heard(4), run_alone(other));
    EXPECT_EQ(fixture.cache().pages().available(), fixture.cache().pages().pages_total());
}

// Whoever reads it rings no bell for that: requests behind it are looked at again after a while,
// also when nothing else waits.
TEST(StepLoop, RequestsBehindABrimfulRingWaitForRoom) {
    LoopFixture fixture;
    FakeFrontend frontend(1, 4096);
    fixture.connect(frontend);
    EXPECT_FALSE(fixture.loop().waits_for_room());
    shm::SubmitRecord record = request_of(1).record();
    record.id_count = 0;  // each is refused
    uint64_t sent = 0;
    for (record.flight = 1; frontend.send(shm::RecordType::kSubmit, shm::bytes_of(record));
         ++record.flight, ++sent)
        fixture.loop().turn();
    EXPECT_TRUE(fixture.loop().waits_for_room());
    while (fixture.loop().waits_for_room()) {
        frontend.listen();
        fixture.loop().turn();
    }
    frontend.listen();
    EXPECT_EQ(frontend.heard(sent).failed.size(), 1u);
}

TEST(StepLoop, WaitsForPagesInsteadOfFailing) {
    LoopFixture fixture({.pages = 3});
    FakeFrontend frontend(1);
    fixture.connect(frontend);
    for (uint64_t flight = 1; flight <= 5; ++flight) {
        Request request = request_of(flight);
        request.ids = LoopFixture::prompt(40, flight);  // two pages each
        frontend.submit(request);
    }
    fixture.loop().turn();
    EXPECT_EQ(fixture.board().gauge(Gauge::kRunningSequences), 1u);
    EXPECT_EQ(fixture.board().gauge(Gauge::kWaitingSequences), 4u);
    EXPECT_EQ(fixture.board().gauge(Gauge::kKvPagesUsed), 2u);
    fixture.settle({&frontend});
    for (uint64_t flight = 1; flight <= 5; ++flight) {
        EXPECT_EQ(frontend.heard(flight).tokens.size(), 20u);
    }
    EXPECT_EQ(fixture.board().gauge(Gauge::kKvPagesUsed), 0u);
}

TEST(StepLoop, GivesBackWhatIsBeyondCreditsOrSlots) {
    LoopFixture fixture({.slots_max = 3});
    FakeFrontend small(1);
    FakeFrontend large(2);
    fixture.connect(small, 1);
    fixture.connect(large, 3);
    for (uint64_t flight = 1; flight <= 2; ++flight)
        small.submit(request_of(flight));
    for (uint64_t flight = 1; flight <= 3; ++flight)
        large.submit(request_of(flight));
    fixture.settle({&small, &large});
    EXPECT_TRUE(small.heard(1).is_finished());
    EXPECT_EQ(small.heard(2).given_back, (std::vector{shm::GiveBackReason::kBusy}));
    EXPECT_TRUE(large.heard(2).is_finished());
    EXPECT_EQ(large.heard(3).given_back, (std::vector{shm::GiveBackReason::kBusy}));
}

TEST(StepLoop, AFrontendThatGoesTakesItsFlightsWithIt) {
    LoopFixture fixture;
    FakeFrontend gone(1);
    FakeFrontend stays(2);
    fixture.connect(gone);
    fixture.connect(stays);
    gone.submit(request_of(1));
    stays.submit(request_of(1));
    fixture.loop().turn();
    shm::Message message;
    message.type = shm::MessageType::kPeerGone;
    const shm::PeerGoneMessage facts = {1, 1, shm::PeerEnd::kKilled};
    const auto bytes = shm::bytes_of(facts);
    message.payload.assign(bytes.begin(), bytes.end());
    fixture.loop().on_message(std::move(message));
    fixture.settle({&stays});
    EXPECT_FALSE(gone.heard(1).is_finished());
    expect_same(stays.heard(1), run_alone(request_of(1)));
    EXPECT_EQ(fixture.cache().pages().available(), fixture.cache().pages().pages_total());
}

shm::Message known_peers(std::vector<uint64_t> incarnations) {
    shm::Message message;
    message.type = shm::MessageType::kKnownPeers;
    const auto bytes = std::as_bytes(std::span(incarnations));
    message.payload.assign(bytes.begin(), bytes.end());
    return message;
}

TEST(StepLoop, AFrontendThatIsKnownIsLeftAsItIs) {
    LoopFixture fixture;
    FakeFrontend frontend(1);
    fixture.connect(frontend);
    frontend.submit(request_of(1));
    fixture.loop().turn();
    fixture.loop().on_message(frontend.introduction());  // by a supervisor that restarted
    fixture.settle({&frontend});
    expect_same(frontend.heard(1), run_alone(request_of(1)));
}

TEST(StepLoop, FrontendsThatDiedUnseenAreDropped) {
    LoopFixture fixture;
    FakeFrontend gone(1);
    FakeFrontend stays(2);
    fixture.connect(gone);
    fixture.connect(stays);
    gone.submit(request_of(1));
    stays.submit(request_of(1));
    fixture.loop().turn();
    fixture.loop().on_message(known_peers({7, 2}));
    fixture.settle({&stays});
    EXPECT_FALSE(gone.heard(1).is_finished());
    expect_same(stays.heard(1), run_alone(request_of(1)));
    EXPECT_EQ(fixture.cache().pages().available(), fixture.cache().pages().pages_total());
}

TEST(StepLoop, AListOfPeersThatIsNoneEndsIt) {
    LoopFixture fixture;
    shm::Message message = known_peers({1});
    message.payload.pop_back();
    fixture.loop().on_message(std::move(message));
    EXPECT_TRUE(fixture.loop().is_done());
    EXPECT_EQ(fixture.loop().exit_code(), kExitProtocol);
}

shm::Message log_level(std::string_view level) {
    shm::Message message;
    message.type = shm::MessageType::kLogLevel;
    const auto bytes = std::as_bytes(std::span(level));
    message.payload.assign(bytes.begin(), bytes.end());
    return message;
}

TEST(StepLoop, TakesALogLevelWhileItRuns) {
    LoopFixture fixture;
    for (const char* level : {"debug", "error", "info"})
        fixture.loop().on_message(log_level(level));
    EXPECT_FALSE(fixture.loop().is_done());
    fixture.loop().on_message(log_level("loud"));
    EXPECT_EQ(fixture.loop().exit_code(), kExitProtocol);
}

TEST(StepLoop, DrainFinishesWhatIsThereAndGivesBackTheRest) {
    LoopFixture fixture;
    FakeFrontend frontend(1);
    fixture.connect(frontend);
    frontend.submit(request_of(1));
    fixture.loop().turn();
    shm::Message message;
    message.type = shm::MessageType::kDrain;
    fixture.loop().on_message(std::move(message));
    EXPECT_EQ(fixture.board().state(), shm::ProcessState::kDraining);
    frontend.submit(request_of(2));
    while (!fixture.loop().is_done()) {
        fixture.loop().turn();
        frontend.listen();
    }
    EXPECT_EQ(fixture.loop().exit_code(), kExitOk);
    expect_same(frontend.heard(1), run_alone(request_of(1)));
    EXPECT_EQ(frontend.heard(2).given_back, (std::vector{shm::GiveBackReason::kDraining}));
    EXPECT_EQ(fixture.board().state(), shm::ProcessState::kStopped);
}

TEST(StepLoop, DrainsWhenAsked) {
    LoopFixture fixture;
    FakeFrontend frontend(1);
    fixture.connect(frontend);
    frontend.submit(request_of(1));
    fixture.loop().turn();
    fixture.loop().ask_to_drain();
    EXPECT_EQ(fixture.loop().run(), kExitOk);
    frontend.listen();
    expect_same(frontend.heard(1), run_alone(request_of(1)));
}

TEST(StepLoop, EndsByItselfWhenTheSupervisorIsGone) {
    LoopFixture fixture;
    FakeFrontend frontend(1);
    fixture.connect(frontend);
    frontend.submit(request_of(1));
    fixture.supervisor().reset();
    EXPECT_EQ(fixture.loop().run(), kExitLostSupervisor);
    frontend.listen();
    EXPECT_EQ(frontend.heard(1).given_back.size() + frontend.heard(1).tokens.size(), 1u);
}

TEST(StepLoop, WithoutASupervisorItWaitsNoLongerThanTheDrainTimeout) {
    LoopFixture fixture({.drain_timeout_ms = 0});
    FakeFrontend deaf(1, 4096);
    fixture.connect(deaf);
    Request request = request_of(1);
    request.new_tokens = 100;
    request.sampling.alternatives_count = 20;
    deaf.submit(request);
    while (fixture.loop().turn())
        continue;  // until its ring is full
    fixture.supervisor().reset();
    EXPECT_EQ(fixture.loop().run(), kExitLostSupervisor);
}

TEST(StepLoop, SleepsUntilRungAndWakesAFrontendThatSleeps) {
    LoopFixture fixture;
    FakeFrontend frontend(1);
    const shm::BoardView board = fixture.board();
    shm::Channel supervisor(std::move(fixture.supervisor()));
    const shm::Message introduction = frontend.introduction();
    std::vector<int> fds;
    for (const Fd& fd : introduction.fds)
        fds.push_back(fd.get());
    ASSERT_TRUE(supervisor.send(introduction.type, introduction.payload, fds).ok());
    frontend.board().sleeping().store(1);
    std::thread outside([&] {
        auto bell = shm::Doorbell::for_producer(Fd(dup(fixture.doorbell().fd())), board.sleeping());
        for (uint64_t flight = 1; flight <= 5; ++flight) {
            while (board.sleeping().load() == 0)
                std::this_thread::yield();
            frontend.submit(request_of(flight));
            bell.ring_if_sleeping();
            while (!frontend.heard(flight).is_finished()) {
                frontend.listen();
                std::this_thread::yield();
            }
        }
        EXPECT_TRUE(supervisor.send(shm::MessageType::kDrain).ok());
    });
    EXPECT_EQ(fixture.loop().run(), kExitOk);
    outside.join();
    EXPECT_TRUE(frontend.bell_rang());
    EXPECT_EQ(board.counter(Counter::kDecodeTokens), 100u);
    EXPECT_GT(board.worker().prefill_token_ns, 0u);
    EXPECT_GT(board.worker().decode_ns, 0u);
    EXPECT_EQ(board.worker().step_begun_ns, 0u);
}

TEST(StepLoop, ARepetitionTakesFewerStepsAndGivesTheSameRecords) {
    Request request = request_of(1);
    request.bias = {{11, 1000}};
    request.new_tokens = 50;
    LoopFixture fixture({.speculation = {SpeculationMode::kOn, 8}});
    FakeFrontend frontend(1);
    fixture.connect(frontend);
    frontend.submit(request);
    fixture.settle({&frontend});
    const Heard& heard = frontend.heard(1);
    expect_same(heard, run_alone(request));
    ASSERT_EQ(heard.tokens.size(), 50u);
    for (uint32_t i = 0; i < 50; ++i) {
        EXPECT_EQ(heard.tokens[i].position, request.ids.size() + i);
        EXPECT_EQ(heard.tokens[i].finish, i == 49 ? shm::Finish::kLength : shm::Finish::kNone);
    }
    // The prompt's step, two until 11 11 has been seen before, then nine tokens at a time: 5 * 9
    // + 2.
    const shm::BoardView board = fixture.board();
    EXPECT_EQ(board.counter(Counter::kSteps), 9u);
    EXPECT_EQ(board.counter(Counter::kDecodeTokens), 50u);
    EXPECT_EQ(board.counter(Counter::kDraftedTokens), 41u);
    EXPECT_EQ(board.counter(Counter::kDraftsAccepted), 41u);
}

TEST(StepLoop, TheEndOfGenerationEndsAnAcceptedDraft) {
    Request request = request_of(1);
    request.ids = {5, 6, 7, 8, 9, 10, 5};
    request.new_tokens = 50;
    ChainEngine engine;  // 5 6 7 8 9 10 5 6 ...
    const LoopFixture::Options options = {
        .end_ids = {9}, .engine = &engine, .speculation = {SpeculationMode::kOn, 8}};
    LoopFixture fixture(options);
    FakeFrontend frontend(1);
    fixture.connect(frontend);
    frontend.submit(request);
    fixture.settle({&frontend});
    // 6 by the prompt's step; then 7, 8, 9 are drafted and right, and so is what would follow.
    EXPECT_EQ(frontend.heard(1).ids(), (std::vector<uint32_t>{6, 7, 8, 9}));
    EXPECT_EQ(frontend.heard(1).tokens.back().finish, shm::Finish::kEndOfGeneration);
    EXPECT_EQ(fixture.board().counter(Counter::kSteps), 2u);
    EXPECT_EQ(fixture.board().counter(Counter::kDraftedTokens), 8u);
    EXPECT_EQ(fixture.board().counter(Counter::kDraftsAccepted), 2u);
    EXPECT_EQ(fixture.cache().pages().available(), fixture.cache().pages().pages_total());
}

TEST(StepLoop, BadNumbersWithinADraftFailTheFlightWhereTheyStand) {
    Request request = request_of(1);
    request.ids = {5, 6, 7, 8, 9, 10, 5};
    ChainEngine engine;
    engine.bad_after = 8;
    LoopFixture fixture({.engine = &engine, .speculation = {SpeculationMode::kOn, 8}});
    FakeFrontend frontend(1);
    fixture.connect(frontend);
    frontend.submit(request);
    fixture.settle({&frontend});
    EXPECT_EQ(frontend.heard(1).ids(), (std::vector<uint32_t>{6, 7, 8}));
    EXPECT_EQ(frontend.heard(1).failed, (std::vector{shm::FailureCode::kBadNumbers}));
    EXPECT_EQ(fixture.board().counter(Counter::kSteps), 2u);
}

// Notes what the board says while a step is computed.
class WatchingEngine final : public Engine {
  public:
    void step(std::span<const Row> rows, std::span<const Draw> draws) noexcept override {
        plan = board->step_plan().value_or(std::vector<shm::StepFlight>{});
        begun_ns = board->worker().step_begun_ns;
        NullEngine(67, 8, {}, 0).step(rows, draws);
        if (fail)
            for (const Draw& draw : draws)
                draw.drawn->valid = false;
    }
    std::span<const float> hidden_of(uint32_t) noexcept override { return {}; }
    const shm::BoardView* board = nullptr;
    std::vector<shm::StepFlight> plan;
    uint64_t begun_ns = 0;
    bool fail = false;
};

TEST(StepLoop, NotesTheFlightsOfAStepOnTheBoardWhileItRuns) {
    WatchingEngine engine;
    LoopFixture fixture({.engine = &engine});
    const shm::BoardView board = fixture.board();
    engine.board = &board;
    FakeFrontend frontend(5);
    fixture.connect(frontend);
    frontend.submit(request_of(77));
    fixture.loop().turn();
    ASSERT_EQ(engine.plan.size(), 1u);
    EXPECT_EQ(engine.plan[0].frontend_incarnation, 5u);
    EXPECT_EQ(engine.plan[0].flight, 77u);
    EXPECT_GT(engine.begun_ns, 0u);
    EXPECT_EQ(board.worker().step_begun_ns, 0u);
}

TEST(StepLoop, LogitsThatAreNotNumbersFailTheFlight) {
    WatchingEngine engine;
    LoopFixture fixture({.engine = &engine});
    const shm::BoardView board = fixture.board();
    engine.board = &board;
    engine.fail = true;
    FakeFrontend frontend(1);
    fixture.connect(frontend);
    frontend.submit(request_of(1));
    fixture.settle({&frontend});
    EXPECT_EQ(frontend.heard(1).failed, (std::vector{shm::FailureCode::kBadNumbers}));
    EXPECT_TRUE(frontend.heard(1).tokens.empty());
    EXPECT_EQ(fixture.cache().pages().available(), fixture.cache().pages().pages_total());
}

}  // namespace
}  // namespace bitnetd::worker
