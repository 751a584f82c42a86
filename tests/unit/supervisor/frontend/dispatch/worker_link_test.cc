// Goal: WorkerLink speaks the ring protocol: submissions and cancels arrive in order even when the
// ring
//   is full meanwhile, and whatever a worker publishes is delivered or refused, never believed
//   blindly.
// Method: real segments, rings and boards in this one process; the test is the worker's end.
#include "supervisor/frontend/dispatch/worker_link.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>
#include <numeric>

#include "common/base/bytes.h"
#include "tests/unit/supervisor/frontend/dispatch/fake_worker.h"
#include "tests/unit/supervisor/frontend/dispatch/worker_end.h"

namespace bitnetd::frontend {
namespace {

constexpr uint64_t kFrontend = WorkerEnd::kFrontend;

struct CountingEvents final : WorkerEvents {
    size_t starts = 0, give_backs = 0, failures = 0;
    std::vector<uint32_t> tokens;
    std::vector<shm::Alternative> alternatives;
    std::vector<float> logprobs, values;
    void on_started(const shm::StartedRecord&) noexcept override { ++starts; }
    void on_token(const shm::TokenRecord& record,
                  std::span<const shm::Alternative> others) noexcept override {
        tokens.push_back(record.token);
        alternatives.assign(others.begin(), others.end());
    }
    void on_prompt_scores(const shm::PromptScoresRecord&, std::span<const PromptScore> scores,
                          std::span<const shm::Alternative> others) noexcept override {
        for (const PromptScore& score : scores) {
            logprobs.push_back(score.logprob);
            const auto own = others.subspan(score.alternatives_first, score.alternatives_count);
            alternatives.insert(alternatives.end(), own.begin(), own.end());
        }
    }
    void on_embedding(const shm::EmbeddingRecord&, std::span<const float> fresh) noexcept override {
        values.insert(values.end(), fresh.begin(), fresh.end());
    }
    void on_give_back(const shm::GiveBackRecord&) noexcept override { ++give_backs; }
    void on_failed(const shm::FailedRecord&) noexcept override { ++failures; }
};

using Bytes = std::vector<std::byte>;

template <typename T>
void append(Bytes& bytes, const T& value) {
    const auto span = shm::bytes_of(value);
    bytes.insert(bytes.end(), span.begin(), span.end());
}

// Two scores: one with a single alternative, one with none.
Bytes scores_record() {
    Bytes bytes;
    append(bytes, shm::PromptScoresRecord{1, 1, 1, 2, 0});
    append(bytes, -0.5f);
    append(bytes, uint32_t{1});
    append(bytes, shm::Alternative{5, -0.25f});
    append(bytes, -1.5f);
    append(bytes, uint32_t{0});
    return bytes;
}

Bytes embedding_record(shm::EmbeddingRecord record, size_t values) {
    Bytes bytes;
    append(bytes, record);
    for (size_t i = 0; i < values; ++i)
        append(bytes, static_cast<float>(i));
    return bytes;
}

class WorkerLinkTest : public testing::Test {
  protected:
    WorkerLinkTest() {
        auto opened = WorkerLink::open(worker_.peer_message(), kFrontend);
        EXPECT_TRUE(opened.ok());
        link_ = std::move(opened).value();
    }
    static Flight make_flight(uint64_t id, size_t prompt_count) {
        std::vector<uint32_t> prompt(prompt_count);
        std::iota(prompt.begin(), prompt.end(), 1u);
        Flight flight;
        flight.id = id;
        flight.attempt = 1;
        flight.spec = make_spec(std::move(prompt), 100'000);
        return flight;
    }

    WorkerEnd worker_;
    std::unique_ptr<WorkerLink> link_;
};

TEST_F(WorkerLinkTest, SubmissionsAndCancelsArrive) {
    link_->submit(make_flight(42, 3), 5);
    link_->cancel(42, 1);
    const auto records = worker_.take();
    ASSERT_EQ(records.size(), 2u);
    EXPECT_EQ(records[0].first, shm::RecordType::kSubmit);
    const auto head = load<shm::SubmitRecord>(records[0].second.data());
    EXPECT_EQ(head.flight, 42u);
    EXPECT_EQ(head.ids_here, 3u);
    EXPECT_EQ(records[1].first, shm::RecordType::kCancel);
    EXPECT_EQ(load<shm::CancelRecord>(records[1].second.data()).flight, 42u);
    EXPECT_FALSE(link_->is_behind());
}

TEST_F(WorkerLinkTest, WhatDoesNotFitIsSentLaterInOrder) {
    link_->submit(make_flight(1, 5000), 5);  // 20 KB of ids through a ring of 4 KiB
    link_->cancel(1, 1);
    link_->pump();
    EXPECT_TRUE(link_->is_behind());
    std::vector<uint32_t> ids;
    bool cancelled = false;
    for (int turn = 0; turn < 100 && !cancelled; ++turn) {
        for (const auto& [type, payload] : worker_.take()) {
            ASSERT_FALSE(cancelled) << "the cancel is last";
            cancelled = type == shm::RecordType::kCancel;
            size_t at = type == shm::RecordType::kSubmit ? sizeof(shm::SubmitRecord)
                                                         : sizeof(shm::SubmitMoreRecord);
            for (; !cancelled && at < payload.size(); at += 4) {
                ids.push_back(load<uint32_t>(payload.data() + at));
            }
        }
        link_->pump();
    }
    EXPECT_TRUE(cancelled);
    ASSERT_EQ(ids.size(), 5000u);
    for (uint32_t i = 0; i < ids.size(); ++i)
        ASSERT_EQ(ids[i], i + 1);
    EXPECT_FALSE(link_->is_behind());
}

TEST_F(WorkerLinkTest, DeliversEveryKindOfRecord) {
    const shm::TokenRecord token{1, 1, 3, 20, -1, shm::Finish::kNone, 2, 0};
    const std::vector<shm::Alternative> others = {{5, -1}, {6, -2}};
    auto& writer = worker_.writer();
    writer.try_publish(shm::RecordType::kStarted, shm::bytes_of(shm::StartedRecord{}));
    writer.try_publish(shm::RecordType::kToken, shm::bytes_of(token),
                       std::as_bytes(std::span(others)));
    writer.try_publish(shm::RecordType::kPromptScores, scores_record());
    writer.try_publish(shm::RecordType::kEmbedding, embedding_record({1, 1, 2, 3, 5}, 3));
    writer.try_publish(shm::RecordType::kGiveBack, shm::bytes_of(shm::GiveBackRecord{}));
    writer.try_publish(shm::RecordType::kFailed, shm::bytes_of(shm::FailedRecord{}));
    EXPECT_TRUE(link_->has_records());
    CountingEvents events;
    EXPECT_TRUE(link_->drain(events));
    EXPECT_FALSE(link_->has_records());
    EXPECT_EQ(events.starts + events.give_backs + events.failures, 3u);
    EXPECT_EQ(events.tokens, std::vector<uint32_t>{20});
    ASSERT_EQ(events.alternatives.size(), 3u);
    EXPECT_EQ(events.alternatives[1].token, 6u);
    EXPECT_EQ(events.alternatives[2].token, 5u) << "the prompt's";
    EXPECT_EQ(events.logprobs, (std::vector<float>{-0.5f, -1.5f}));
    EXPECT_EQ(events.values, (std::vector<float>{0, 1, 2}));
}

// What becomes of a record when a few bytes of it are others.
class Bent {
  public:
    Bent(shm::RecordType type, Bytes bytes) : type_(type), bytes_(std::move(bytes)) {}
    template <typename T>
    bool is_taken_with(size_t at, T value) const {
        Bytes bytes = bytes_;
        std::memcpy(bytes.data() + at, &value, sizeof value);
        return is_taken(bytes);
    }
    bool is_taken(const Bytes& bytes) const {
        CountingEvents events;
        const bool taken = deliver_record(type_, bytes, events);
        EXPECT_EQ(taken, !events.logprobs.empty() || !events.values.empty());
        return taken;
    }

  private:
    const shm::RecordType type_;
    const Bytes bytes_;
};

TEST_F(WorkerLinkTest, PromptScoresAreReadToTheLastByte) {
    const Bytes good = scores_record();
    const Bent record(shm::RecordType::kPromptScores, good);
    EXPECT_TRUE(record.is_taken(good));
    for (size_t bytes = 0; bytes < good.size(); ++bytes)
        EXPECT_FALSE(record.is_taken(Bytes(good.begin(), good.begin() + bytes))) << bytes;
    Bytes longer = good;
    longer.resize(good.size() + 8);
    EXPECT_FALSE(record.is_taken(longer));
    const size_t count_at = offsetof(shm::PromptScoresRecord, count);
    for (const uint32_t count : {0u, 1u, 3u, 0xFFFF'FFFFu})
        EXPECT_FALSE(record.is_taken_with(count_at, count)) << count;
    const size_t alternatives_at = sizeof(shm::PromptScoresRecord) + sizeof(float);
    for (const uint32_t count : {0u, 2u, 21u, 0xFFFF'FFFFu})
        EXPECT_FALSE(record.is_taken_with(alternatives_at, count)) << count;
}

TEST_F(WorkerLinkTest, EmbeddingsStayWithinTheirSize) {
    const Bytes good = embedding_record({1, 1, 2, 3, 5}, 3);
    const Bent record(shm::RecordType::kEmbedding, good);
    EXPECT_TRUE(record.is_taken(good));
    for (size_t bytes = 0; bytes < good.size(); ++bytes)
        EXPECT_FALSE(record.is_taken(Bytes(good.begin(), good.begin() + bytes))) << bytes;
    for (const uint32_t first : {3u, 0xFFFF'FFFFu})
        EXPECT_FALSE(record.is_taken_with(offsetof(shm::EmbeddingRecord, first_value), first));
    for (const uint32_t count : {0u, 2u, 4u, 0xFFFF'FFFFu})
        EXPECT_FALSE(record.is_taken_with(offsetof(shm::EmbeddingRecord, count), count));
    const size_t total_at = offsetof(shm::EmbeddingRecord, value_count);
    EXPECT_TRUE(record.is_taken_with(total_at, uint32_t{65'536}));
    for (const uint32_t total : {0u, 4u, 65'537u, 0xFFFF'FFFFu})
        EXPECT_FALSE(record.is_taken_with(total_at, total)) << total;
    EXPECT_FALSE(record.is_taken(embedding_record({1, 1, 0, 0, 5}, 0)));
}

TEST_F(WorkerLinkTest, RefusesWhatNoWorkerWrites) {
    shm::TokenRecord token{};
    const auto bytes = [](const auto& record) {
        const auto span = shm::bytes_of(record);
        return std::vector<std::byte>(span.begin(), span.end());
    };
    std::vector<std::pair<shm::RecordType, std::vector<std::byte>>> bad;
    bad.emplace_back(shm::RecordType::kToken, std::vector<std::byte>(8));   // too short
    bad.emplace_back(shm::RecordType::kToken, std::vector<std::byte>(40));  // longer than it says
    token.alternatives_count = 1;
    bad.emplace_back(shm::RecordType::kToken, bytes(token));  // its alternative is missing
    token.alternatives_count = 0xFFFF;
    bad.emplace_back(shm::RecordType::kToken, bytes(token));
    token.alternatives_count = 0;
    token.finish = static_cast<shm::Finish>(9);
    bad.emplace_back(shm::RecordType::kToken, bytes(token));
    bad.emplace_back(shm::RecordType::kStarted, std::vector<std::byte>(31));
    bad.emplace_back(shm::RecordType::kSubmit, bytes(shm::SubmitRecord{}));  // the wrong way round
    bad.emplace_back(static_cast<shm::RecordType>(999), std::vector<std::byte>(8));
    for (const auto& [type, payload] : bad) {
        CountingEvents events;
        EXPECT_FALSE(deliver_record(type, payload, events)) << static_cast<int>(type);
        EXPECT_TRUE(events.tokens.empty());
    }
    worker_.writer().try_publish(bad[0].first, bad[0].second);
    CountingEvents events;
    EXPECT_FALSE(link_->drain(events));
}

// Of the request ring the worker writes the head: it is looked at when the ring seems to be full.
TEST_F(WorkerLinkTest, AScribbledHeadIsFound) {
    CountingEvents events;
    worker_.requests().head.store(uint64_t{1} << 40);
    link_->submit(make_flight(1, 5000), 5);
    EXPECT_FALSE(link_->drain(events));
}

TEST_F(WorkerLinkTest, AScribbledTailIsFound) {
    CountingEvents events;
    worker_.tokens().tail.store(uint64_t{1} << 40);
    EXPECT_TRUE(link_->has_records());
    EXPECT_FALSE(link_->drain(events));
}

TEST_F(WorkerLinkTest, ReadinessAndStepPlanComeFromTheBoard) {
    EXPECT_FALSE(link_->is_ready());
    worker_.board().set_state(shm::ProcessState::kReady, 1);
    EXPECT_TRUE(link_->is_ready());
    worker_.board().set_state(shm::ProcessState::kDraining, 2);
    EXPECT_FALSE(link_->is_ready());

    const shm::StepFlight plan[] = {{kFrontend, 42}, {kFrontend + 1, 43}};
    worker_.board().begin_step(plan, 3);
    EXPECT_TRUE(link_->is_in_step_plan(42));
    EXPECT_FALSE(link_->is_in_step_plan(43)) << "another frontend's";
    worker_.board().end_step();
    EXPECT_FALSE(link_->is_in_step_plan(42)) << "nobody is blamed between steps";
}

TEST_F(WorkerLinkTest, APeerMessageWithoutItsDescriptorsIsRefused) {
    shm::Message message = worker_.peer_message();
    message.fds.pop_back();
    EXPECT_FALSE(WorkerLink::open(std::move(message), kFrontend).ok());
    shm::Message swapped = worker_.peer_message();
    std::swap(swapped.fds[0], swapped.fds[2]);
    EXPECT_FALSE(WorkerLink::open(std::move(swapped), kFrontend).ok());
}

}  // namespace
}  // namespace bitnetd::frontend
