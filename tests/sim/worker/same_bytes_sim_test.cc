// Goal: a request gets the same records (tokens, logprobs, scores of its prompt, its embedding),
// whoever else is there: alone, in any batch and chunking, out of the cache, after preemption, with
// any drafts, and after its worker died; and a draw never sees another sequence's keys and values.
// Method: random requests, many of which begin alike, run each alone and then all at once in a
// random small world: few pages, small steps, slow readers, killed workers. Two engines: one that
// keeps ids in pages and checks all of them at each draw, and a real model. A seed replays a world.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>
#include <random>

#include "common/log/log.h"
#include "tests/support/worker/loop_fixture.h"

namespace bitnetd::worker {
namespace {

using test::FakeFrontend;
using test::Heard;
using test::LoopFixture;
using test::Request;

constexpr uint32_t kEndId = 11;

uint64_t mixed(uint64_t a, uint64_t b) {
    uint64_t x = (a ^ (b * 0x9e3779b97f4a7c15)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 29)) * 0x94d049bb133111eb;
    return x ^ (x >> 32);
}

// A row's token is kept in its position's place of its page. What is drawn follows from the last
// two ids, so that sequences repeat themselves, and here and there from the position too.
class IdKeepingEngine final : public Engine {
  public:
    explicit IdKeepingEngine(bool has_bad_numbers) : has_bad_numbers_(has_bad_numbers) {}

    void step(std::span<const Row> rows, std::span<const Draw> draws) noexcept override {
        rows_ = rows;
        for (const Row& row : rows)
            std::memcpy(place(row, row.position), &row.token, sizeof row.token);
        for (const Draw& draw : draws)
            fill(rows[draw.row], draw);
    }
    std::span<const float> hidden_of(uint32_t row) noexcept override {
        uint64_t all = 1;
        for (uint32_t position = 0; position <= rows_[row].position; ++position)
            all = mixed(all, load<uint32_t>(place(rows_[row], position)));
        hidden_.assign(test::TinyShape{}.hidden, static_cast<float>(all % 1000));
        return hidden_;
    }

  private:
    static std::byte* place(const Row& row, uint32_t position) {
        return row.pages[position / kPageTokens] + position % kPageTokens * sizeof(uint32_t);
    }

    void fill(const Row& row, const Draw& draw) const {
        if (draw.is_score) return score(row, draw);
        const std::span<const uint32_t> ids = draw.context.ids;
        ASSERT_EQ(ids.size(), row.position + 1);
        uint64_t all = draw.params->seed;
        for (uint32_t position = 0; position < ids.size(); ++position) {
            uint32_t kept = 0;
            std::memcpy(&kept, place(row, position), sizeof kept);
            ASSERT_EQ(kept, ids[position]) << "position " << position << " of " << ids.size();
            all = mixed(all, kept);
        }
        uint64_t chain = mixed(draw.params->seed, ids.back());
        if (ids.size() > 1) chain = mixed(chain, ids[ids.size() - 2]);
        const bool wanders = all % 11 == 0;
        const uint64_t fate = mixed(all, 5);
        draw.drawn->valid = !has_bad_numbers_ || fate % 150 != 0;
        draw.drawn->token = static_cast<uint32_t>((wanders ? all : chain) % kEndId);
        if (fate % 90 == 1) draw.drawn->token = kEndId;
        draw.drawn->scores.logprob = -static_cast<float>(all % 1000) / 100;
        draw.drawn->scores.alternatives_count = draw.params->alternatives_count;
        for (uint32_t i = 0; i < draw.params->alternatives_count; ++i)
            draw.drawn->scores.alternatives[i] = {i, static_cast<float>(all % (i + 7))};
    }

    static void score(const Row& row, const Draw& draw) {
        uint64_t all = draw.known_token;
        for (uint32_t position = 0; position <= row.position; ++position) {
            uint32_t kept = 0;
            std::memcpy(&kept, place(row, position), sizeof kept);
            all = mixed(all, kept);
        }
        draw.drawn->valid = true;
        draw.drawn->scores.logprob = -static_cast<float>(all % 1000) / 100;
        draw.drawn->scores.alternatives_count = 0;
    }

    const bool has_bad_numbers_;
    std::span<const Row> rows_;
    std::vector<float> hidden_;
};

// What happens to workers, and how large they are.
struct World {
    uint64_t seed = 0;
    LoopFixture::Options options = {};
    uint64_t ring_bytes = 1 << 16;
    uint32_t turns_of_a_life = 0;  // about; then the worker is killed. 0: it lives on
    uint32_t heard_at_once = 0;    // at most; 0: all that there is
};

class Clients {
  public:
    explicit Clients(std::vector<Request> requests)
        : requests_(std::move(requests)), heard_(requests_.size()) {}

    void run_in(const World& world) {
        std::mt19937_64 random(world.seed);
        uint32_t life = 0;
        while (!all_ended()) {
            ASSERT_LT(++life, 500u) << "the clients make no progress";
            live_once(world, life, random);
            if (::testing::Test::HasFatalFailure()) return;
        }
    }
    const std::vector<Heard>& heard() const { return heard_; }
    uint64_t drafted() const { return drafted_; }
    uint64_t accepted() const { return accepted_; }
    uint64_t preempted() const { return preempted_; }
    uint64_t cached() const { return cached_; }

  private:
    bool has_ended(size_t i) const { return heard_[i].is_finished() || !heard_[i].failed.empty(); }
    bool all_ended() const {
        for (size_t i = 0; i < heard_.size(); ++i) {
            if (!has_ended(i)) return false;
        }
        return true;
    }

    // As a frontend does after a death: prompt + what was received, as a new attempt.
    void submit_rest(LoopFixture& fixture, FakeFrontend& frontend, uint32_t life,
                     std::mt19937_64& random) {
        for (size_t i = 0; i < requests_.size(); ++i) {
            if (has_ended(i)) continue;
            Request rest = requests_[i];
            rest.prompt_count = static_cast<uint32_t>(rest.ids.size());
            rest.attempt = life;
            for (const uint32_t id : heard_[i].ids())
                rest.ids.push_back(id);
            if (!heard_[i].tokens.empty()) rest.flags &= ~shm::kScorePrompt;
            frontend.submit(rest, 8 + random() % 20);
            frontend.listen();
            fixture.loop().turn();  // makes room in the request ring
        }
    }

    // One worker's life: until everything has ended or its turns are over.
    void live_once(const World& world, uint32_t life, std::mt19937_64& random) {
        LoopFixture fixture(world.options);
        FakeFrontend frontend(life, world.ring_bytes);
        fixture.connect(frontend);
        submit_rest(fixture, frontend, life, random);
        const bool is_mortal = world.turns_of_a_life > 0;
        // Each a little longer, or the end of a long prompt would never be reached.
        uint64_t turns = is_mortal ? 1 + random() % world.turns_of_a_life + 5 * life : 100'000;
        while (turns > 0 && !has_heard_all(frontend)) {
            --turns;
            fixture.loop().turn();
            const bool is_slow = world.heard_at_once > 0;
            frontend.listen(is_slow ? random() % (world.heard_at_once + 1) : SIZE_MAX);
            if (::testing::Test::HasFatalFailure()) return;
        }
        ASSERT_TRUE(is_mortal || turns > 0) << "the worker makes no progress";
        for (size_t i = 0; i < requests_.size(); ++i)
            take_over(frontend.heard(requests_[i].flight), heard_[i]);
        drafted_ += fixture.board().counter(Counter::kDraftedTokens);
        accepted_ += fixture.board().counter(Counter::kDraftsAccepted);
        preempted_ += fixture.board().counter(Counter::kPreemptions);
        cached_ += fixture.board().counter(Counter::kPromptTokensCached);
    }

    bool has_heard_all(FakeFrontend& frontend) const {
        for (size_t i = 0; i < requests_.size(); ++i) {
            const Heard& now = frontend.heard(requests_[i].flight);
            if (!has_ended(i) && !now.is_finished() && now.failed.empty()) return false;
        }
        return true;
    }

    static void take_over(const Heard& now, Heard& all) {
        ASSERT_TRUE(now.given_back.empty());
        all.tokens.insert(all.tokens.end(), now.tokens.begin(), now.tokens.end());
        all.alternatives.insert(all.alternatives.end(), now.alternatives.begin(),
                                now.alternatives.end());
        all.failed.insert(all.failed.end(), now.failed.begin(), now.failed.end());
        all.draws_tokens &= now.draws_tokens;
        // A later attempt sends these from the beginning.
        if (now.prompt_scores.size() > all.prompt_scores.size()) {
            all.prompt_scores = now.prompt_scores;
        }
        all.has_all_scores |= now.has_all_scores;
        if (now.embedding.size() > all.embedding.size()) all.embedding = now.embedding;
        all.has_all_values |= now.has_all_values;
    }

    const std::vector<Request> requests_;
    std::vector<Heard> heard_;
    uint64_t drafted_ = 0;
    uint64_t accepted_ = 0;
    uint64_t preempted_ = 0;
    uint64_t cached_ = 0;
};

void expect_same(const std::vector<shm::Alternative>& a, const std::vector<shm::Alternative>& b) {
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) {
        EXPECT_EQ(a[i].token, b[i].token);
        EXPECT_EQ(a[i].logprob, b[i].logprob);
    }
}

void expect_same(const Heard& a, const Heard& b) {
    EXPECT_EQ(a.embedding, b.embedding);
    if (a.failed.empty()) {
        ASSERT_EQ(a.prompt_scores.size(), b.prompt_scores.size());
    }
    for (size_t i = 0; i < std::min(a.prompt_scores.size(), b.prompt_scores.size()); ++i) {
        EXPECT_EQ(a.prompt_scores[i].logprob, b.prompt_scores[i].logprob);
        expect_same(a.prompt_scores[i].alternatives, b.prompt_scores[i].alternatives);
    }
    EXPECT_EQ(a.failed, b.failed);
    ASSERT_EQ(a.tokens.size(), b.tokens.size());
    for (size_t i = 0; i < a.tokens.size(); ++i) {
        SCOPED_TRACE(i);
        EXPECT_EQ(a.tokens[i].position, b.tokens[i].position);
        EXPECT_EQ(a.tokens[i].token, b.tokens[i].token);
        EXPECT_EQ(a.tokens[i].logprob, b.tokens[i].logprob);
        EXPECT_EQ(a.tokens[i].finish, b.tokens[i].finish);
        expect_same(a.alternatives[i], b.alternatives[i]);
    }
}

class SameBytesSim : public ::testing::Test {
  protected:
    static void SetUpTestSuite() {
        log::init("sim", log::Level::kWarn, log::Format::kText);  // workers by the thousand
    }

    uint32_t pick(uint32_t low, uint32_t high) {
        return std::uniform_int_distribution<uint32_t>(low, high)(random_);
    }

    Request random_request(uint64_t flight) {
        Request request;
        request.flight = flight;
        const uint32_t prompt = pick(1, context() / 2);
        // Many begin alike: as one of two texts.
        const uint32_t alike = pick(0, 1) == 0 ? pick(0, prompt) : 0;
        const uint32_t text = pick(1, 2);
        for (uint32_t i = 0; i < prompt; ++i)
            request.ids.push_back(i < alike ? i * text % 16 : pick(0, 15));
        const uint32_t room = context() - prompt;
        request.new_tokens = pick(1, room);
        if (pick(0, 3) == 0) {
            request.flags = shm::kScorePrompt;
            request.new_tokens = pick(0, 1) * pick(1, room);
        } else if (pick(0, 5) == 0) {
            request.flags = shm::kWantEmbedding;
            request.new_tokens = 0;
        }
        request.priority = static_cast<Priority>(pick(0, 2));
        request.sampling = random_sampling();
        if (pick(0, 3) == 0) request.bias = {{pick(0, 15), 50}, {pick(0, 15), 49}};
        return request;
    }

    SamplingParams random_sampling() {
        SamplingParams params;
        params.seed = pick(0, 1000);
        const float temperatures[] = {0, 0, 0.02f, 0.3f, 1};
        params.temperature = temperatures[pick(0, 4)];
        if (pick(0, 3) == 0) params.top_k = pick(1, 5);
        if (pick(0, 3) == 0) params.top_p = 0.5f;
        if (pick(0, 5) == 0) params.typical_p = 0.7f;
        if (pick(0, 5) == 0) params.min_p = 0.1f;
        if (pick(0, 3) == 0) params.repetition_penalty = 1.05f;
        if (pick(0, 3) == 0) params.frequency_penalty = 0.02f;
        if (pick(0, 3) == 0) params.presence_penalty = 0.1f;
        params.wants_logprobs = pick(0, 1) == 1;
        params.alternatives_count = params.wants_logprobs ? pick(0, 20) : 0;
        params.ignore_eos = pick(0, 4) == 0;
        return params;
    }

    static uint32_t context() { return test::TinyShape{}.context; }

    World random_world(const std::vector<Request>& requests) {
        World world;
        world.seed = random_();
        world.options.step_tokens_max = pick(0, 2) == 0 ? pick(1, 20) : pick(20, 200);
        world.options.slots_max = static_cast<uint32_t>(requests.size());
        if (pick(0, 1) == 0) {  // room for the longest alone, at least
            world.options.pages = pick(context() / kPageTokens + 1, 20);
        }
        if (pick(0, 1) == 0) world.ring_bytes = 4096;
        if (pick(0, 1) == 0) world.turns_of_a_life = pick(3, 60);
        if (pick(0, 1) == 0) world.heard_at_once = pick(1, 6);
        return world;
    }

    void compare_modes(Engine* engine, const std::vector<Request>& requests, const World& world) {
        std::vector<Heard> alone;
        for (const Request& request : requests) {
            World plain;
            plain.options.engine = engine;
            plain.options.end_ids = {kEndId};
            plain.options.slots_max = 1;
            Clients client({request});
            client.run_in(plain);
            if (HasFailure()) return;
            alone.push_back(client.heard()[0]);
        }
        for (const SpeculationMode mode :
             {SpeculationMode::kOff, SpeculationMode::kOn, SpeculationMode::kAuto}) {
            SCOPED_TRACE("mode " + std::to_string(static_cast<int>(mode)));
            World guessing = world;
            guessing.options.engine = engine;
            guessing.options.end_ids = {kEndId};
            guessing.options.speculation = {mode, pick(1, kDraftTokensMax)};
            Clients clients(requests);
            clients.run_in(guessing);
            if (HasFailure()) return;
            for (size_t i = 0; i < requests.size(); ++i) {
                SCOPED_TRACE("request " + std::to_string(i));
                expect_same(clients.heard()[i], alone[i]);
            }
            drafted_[static_cast<size_t>(mode)] += clients.drafted();
            accepted_[static_cast<size_t>(mode)] += clients.accepted();
            preempted_ += clients.preempted();
            cached_ += clients.cached();
        }
    }

    void run_histories(uint64_t count, uint32_t requests_max, bool has_model) {
        const char* replay = std::getenv("BITNETD_SEED");
        const uint64_t first = replay != nullptr ? std::strtoull(replay, nullptr, 10) : 1;
        const uint64_t last = replay != nullptr ? first : count;
        std::printf("seeds %lu .. %lu\n", first, last);
        for (uint64_t seed = first; seed <= last && !HasFailure(); ++seed) {
            SCOPED_TRACE("BITNETD_SEED=" + std::to_string(seed));
            random_.seed(seed);
            std::vector<Request> requests;
            const uint32_t some = pick(1, requests_max);
            while (requests.size() < some)
                requests.push_back(random_request(requests.size() + 1));
            IdKeepingEngine ids(pick(0, 1) == 0);
            compare_modes(has_model ? nullptr : &ids, requests, random_world(requests));
        }
        std::printf("drafted %lu, accepted %lu; auto: %lu, %lu\n", drafted_[1], accepted_[1],
                    drafted_[2], accepted_[2]);
        EXPECT_EQ(drafted_[0], 0u);
        std::printf("preempted %lu, ids found in the cache %lu\n", preempted_, cached_);
        if (replay != nullptr) return;
        EXPECT_GT(preempted_, 10u);
        EXPECT_GT(cached_, 100u);
        EXPECT_GT(accepted_[1], 100u);
        EXPECT_GT(drafted_[1], accepted_[1]);
    }

    std::mt19937_64 random_;
    uint64_t drafted_[3] = {};
    uint64_t accepted_[3] = {};
    uint64_t preempted_ = 0;
    uint64_t cached_ = 0;
};

TEST_F(SameBytesSim, EveryDrawFindsItsOwnSequence) {
    run_histories(250, 12, false);
}

TEST_F(SameBytesSim, AModelDrawsTheSameTokens) {
    run_histories(60, 6, true);
}

}  // namespace
}  // namespace bitnetd::worker
