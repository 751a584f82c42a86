// Goal: a flight written as request records can be put together again, whatever the record size,
// and
//   is never complete before its bias is there.
// Method: encode with several limits, then read the records back as a worker would.
#include "supervisor/frontend/dispatch/submission.h"

#include <gtest/gtest.h>

#include <numeric>

#include "common/base/bytes.h"

namespace bitnetd::frontend {
namespace {

struct Received {
    shm::SubmitRecord head{};
    std::vector<uint32_t> ids;
    std::vector<shm::LogitBias> bias;
    bool complete_before_bias = false;
};

Received receive(const std::vector<OutRecord>& records) {
    Received got;
    for (const OutRecord& record : records) {
        const std::byte* at = record.payload.data();
        size_t count = 0;
        if (record.type == shm::RecordType::kSubmit) {
            got.head = load<shm::SubmitRecord>(at);
            at += sizeof got.head;
            count = got.head.ids_here;
        } else if (record.type == shm::RecordType::kSubmitMore) {
            count = load<shm::SubmitMoreRecord>(at).ids_here;
            at += sizeof(shm::SubmitMoreRecord);
        } else {
            EXPECT_EQ(record.type, shm::RecordType::kSubmitBias);
            const auto head = load<shm::SubmitBiasRecord>(at);
            at += sizeof head;
            for (uint32_t i = 0; i < head.entries_here; ++i, at += sizeof(shm::LogitBias)) {
                got.bias.push_back(load<shm::LogitBias>(at));
            }
            got.complete_before_bias |= got.ids.size() == got.head.id_count;
        }
        for (size_t i = 0; i < count; ++i, at += 4)
            got.ids.push_back(load<uint32_t>(at));
        EXPECT_EQ(at, record.payload.data() + record.payload.size());
    }
    return got;
}

Flight make_flight(size_t prompt_count, size_t produced_count, size_t bias_count) {
    std::vector<uint32_t> prompt(prompt_count);
    std::iota(prompt.begin(), prompt.end(), 1000u);
    Flight flight;
    flight.id = 42;
    flight.attempt = 3;
    flight.produced.resize(produced_count);
    std::iota(flight.produced.begin(), flight.produced.end(), 5u);
    flight.spec.prompt = std::make_shared<const std::vector<uint32_t>>(std::move(prompt));
    flight.spec.position_limit = 100'000;
    flight.spec.seed = 0xFFFF'FFFF'FFFF'FFFF;
    flight.spec.sampling.top_k = 40;
    flight.spec.priority = Priority::kLow;
    if (bias_count > 0) {
        flight.spec.bias = std::make_shared<const std::vector<shm::LogitBias>>(
            bias_count, shm::LogitBias{7, -2.5f});
    }
    return flight;
}

TEST(SubmissionTest, ComesBackTogetherForEverySize) {
    for (const size_t limit : {256u, 300u, 4096u, 262'136u}) {
        for (const size_t prompt : {1u, 2u, 39u, 40u, 41u, 5000u}) {
            for (const size_t produced : {0u, 1u, 77u}) {
                for (const size_t bias : {0u, 1u, 1024u}) {
                    const Flight flight = make_flight(prompt, produced, bias);
                    const auto records = encode_submission(flight, 99, limit);
                    for (const OutRecord& record : records)
                        ASSERT_LE(record.payload.size(), limit);
                    const Received got = receive(records);
                    std::vector<uint32_t> expected = *flight.spec.prompt;
                    expected.insert(expected.end(), flight.produced.begin(), flight.produced.end());
                    ASSERT_EQ(got.ids, expected);
                    ASSERT_EQ(got.head.id_count, expected.size());
                    ASSERT_EQ(got.head.prompt_count, prompt);
                    ASSERT_EQ(got.head.bias_count, bias);
                    ASSERT_EQ(got.bias.size(), bias);
                    ASSERT_FALSE(got.complete_before_bias);
                }
            }
        }
    }
}

TEST(SubmissionTest, CarriesEveryField) {
    const Flight flight = make_flight(3, 1, 0);
    const auto head = receive(encode_submission(flight, 99, 4096)).head;
    EXPECT_EQ(head.flight, 42u);
    EXPECT_EQ(head.attempt, 3u);
    EXPECT_EQ(head.position_limit, 100'000u);
    EXPECT_EQ(head.seed, 0xFFFF'FFFF'FFFF'FFFFu);
    EXPECT_EQ(head.top_k, 40u);
    EXPECT_EQ(head.top_p, 1.0f);
    EXPECT_EQ(head.priority, 2u);
    EXPECT_EQ(head.submitted_ns, 99u);
}

TEST(SubmissionTest, AsksForScoresUntilAllAreThere) {
    Flight flight = make_flight(3, 0, 0);
    flight.spec.flags = shm::kScorePrompt | shm::kWantLogprobs;
    flight.scored_count = 2;
    EXPECT_EQ(receive(encode_submission(flight, 99, 4096)).head.flags, flight.spec.flags)
        << "some are missing: all are sent again";
    flight.has_scores = true;
    EXPECT_EQ(receive(encode_submission(flight, 99, 4096)).head.flags, shm::kWantLogprobs);
}

}  // namespace
}  // namespace bitnetd::frontend
