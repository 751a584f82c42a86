// Goal: the gate refuses what cannot be served, in the right order, and computes when to come back.
// Method: an Admission over a Dispatcher with scripted workers and a hand-turned clock.
#include "supervisor/frontend/gate/admission.h"

#include <gtest/gtest.h>

#include <deque>

#include "tests/unit/supervisor/frontend/dispatch/fake_worker.h"

namespace bitnetd::frontend {
namespace {

class AdmissionTest : public testing::Test {
  protected:
    std::shared_ptr<FakeWorkerState> add_worker(uint64_t incarnation) {
        auto state = std::make_shared<FakeWorkerState>();
        dispatcher_.add_worker({incarnation, 1, 0, 1, "cpu:0"}, std::make_unique<FakeWorker>(state),
                               now_ns_);
        return state;
    }
    Verdict check(uint64_t name = 2, Applicant applicant = {}) {
        const PromptDigest digest{1, name};
        applicant.model_key = 1;
        applicant.digests = {&digest, 1};
        return admission_.check(applicant, now_ns_);
    }

    TestBoard board_;
    uint64_t now_ns_ = 100 * kNsPerS;
    Dispatcher dispatcher_{board_.writer(), 2};
    Admission admission_{dispatcher_, {.drain_timeout_ms = 30'000, .wait_max_ms = 60'000}};
};

TEST_F(AdmissionTest, AModelIsTakenForAGraceWithoutAWorker) {
    EXPECT_EQ(check().refusal, Refusal::kModelLoading) << "nobody knows it";
    admission_.add_model(1, now_ns_);
    EXPECT_EQ(check().refusal, Refusal::kNone);
    EXPECT_FALSE(admission_.is_ready(1, now_ns_)) << "requests wait, but none was ever served";
    now_ns_ += Admission::kRestartGraceNs;
    EXPECT_EQ(check().refusal, Refusal::kModelLoading);
    EXPECT_EQ(check().retry_after_ms, 5'000u) << "as long again as it has taken";

    add_worker(1);
    EXPECT_EQ(check().refusal, Refusal::kNone);
    now_ns_ += 3600 * kNsPerS;
    admission_.observe(now_ns_);
    dispatcher_.remove_worker(1, shm::PeerEnd::kKilled, now_ns_);
    EXPECT_EQ(check().refusal, Refusal::kNone) << "one is expected back at once";
    EXPECT_TRUE(admission_.is_ready(1, now_ns_));
    now_ns_ += Admission::kRestartGraceNs;
    EXPECT_FALSE(admission_.is_ready(1, now_ns_));
    admission_.remove_model(1);
    EXPECT_EQ(check().refusal, Refusal::kModelLoading);
}

// One worker that takes one flight at a time, each for four seconds.
class BusyAdmissionTest : public AdmissionTest {
  protected:
    BusyAdmissionTest() : worker_(add_worker(1)) {}

    bool submit() {
        sinks_.emplace_back();
        return dispatcher_.submit(make_spec({5}, 10), sinks_.back(), now_ns_).has_value();
    }
    void end_one() {
        now_ns_ += 4 * kNsPerS;
        const Assignment work = worker_->submissions.back();
        worker_->publish_token(work.flight, work.attempt, 1, 2, shm::Finish::kEndOfGeneration);
        dispatcher_.poll(now_ns_);
    }
    // The pace is known, one runs, and `waiting` wait.
    void measure(int waiting) {
        submit();
        submit();
        submit();
        end_one();
        end_one();
        for (int i = 0; i < waiting; ++i)
            submit();
        EXPECT_EQ(dispatcher_.pace_ns(1, now_ns_), 4 * kNsPerS);
    }

    std::deque<RecordingSink> sinks_;
    std::shared_ptr<FakeWorkerState> worker_;
};

TEST_F(BusyAdmissionTest, AFullQueueSaysWhenAtTheMeasuredPace) {
    measure(2);
    EXPECT_EQ(dispatcher_.room(), 0u);
    EXPECT_EQ(check().refusal, Refusal::kQueueFull);
    EXPECT_EQ(check().retry_after_ms, 16'000u) << "as before, and one promise behind that";
}

TEST_F(BusyAdmissionTest, NobodyIsTakenInToWaitLongerThanAllowed) {
    Admission strict(dispatcher_, {.wait_max_ms = 5'500});
    strict.add_model(1, now_ns_);
    const PromptDigest digest{1, 2};
    measure(0);
    EXPECT_EQ(strict.check({.model_key = 1, .digests = {&digest, 1}}, now_ns_).refusal,
              Refusal::kNone);
    submit();
    const Verdict verdict = strict.check({.model_key = 1, .digests = {&digest, 1}}, now_ns_);
    EXPECT_EQ(verdict.refusal, Refusal::kQueueFull) << "one is ahead: eight seconds";
    EXPECT_EQ(verdict.retry_after_ms, 8'000u);
    // Who comes back as told goes before those who come now.
    end_one();
    end_one();
    submit();
    const PromptDigest other{1, 3};
    EXPECT_EQ(strict.check({.model_key = 1, .digests = {&other, 1}}, now_ns_).refusal,
              Refusal::kQueueFull);
    EXPECT_EQ(strict.check({.model_key = 1, .digests = {&digest, 1}}, now_ns_).refusal,
              Refusal::kNone);
}

TEST_F(BusyAdmissionTest, HighPriorityWaitsForItsLikeOnly) {
    Admission strict(dispatcher_, {.wait_max_ms = 6'000});
    strict.add_model(1, now_ns_);
    const PromptDigest digest{1, 2};
    measure(1);
    Applicant applicant = {.model_key = 1, .digests = {&digest, 1}};
    EXPECT_EQ(strict.check(applicant, now_ns_).refusal, Refusal::kQueueFull);
    applicant.priority = Priority::kHigh;
    EXPECT_EQ(strict.check(applicant, now_ns_).refusal, Refusal::kNone);
}

TEST_F(BusyAdmissionTest, WhatCannotBeginInTimeIsRefusedAtOnce) {
    measure(0);
    EXPECT_EQ(check(2, {.deadline_ns = now_ns_ + 3 * kNsPerS}).refusal, Refusal::kDeadline);
    EXPECT_EQ(check(2, {.deadline_ns = now_ns_ + 5 * kNsPerS}).refusal, Refusal::kNone);
    worker_->load.row_ns = kNsPerMs;
    const std::vector<uint32_t> text(2'048, 7);
    const Applicant applicant = {.prompt = text, .deadline_ns = now_ns_ + 5 * kNsPerS};
    EXPECT_EQ(check(2, applicant).refusal, Refusal::kDeadline);
    // Unless the worker has it in its cache.
    RecordingSink sink;
    ASSERT_TRUE(dispatcher_.submit(make_spec(text, 3'000), sink, now_ns_));
    end_one();
    EXPECT_EQ(dispatcher_.prefill_ns(1, text), 0u);
    EXPECT_EQ(dispatcher_.prefill_ns(1, std::vector<uint32_t>(40, 8)), 40 * kNsPerMs);
}

TEST_F(AdmissionTest, DrainingComesFirst) {
    add_worker(1);
    admission_.begin_drain(now_ns_);
    now_ns_ += 10 * kNsPerS;
    EXPECT_EQ(check().refusal, Refusal::kDraining);
    EXPECT_EQ(check().retry_after_ms, 20'000u) << "until it has ended at the latest";
}

TEST_F(AdmissionTest, QuarantinedPromptsAreRefusedAndOthersAreNot) {
    RecordingSink sink;
    const PromptDigest digest = digest_of(std::vector<uint32_t>{6, 6});
    uint64_t id = 0;
    for (uint64_t incarnation = 1; incarnation <= 3; ++incarnation) {
        const auto worker = add_worker(incarnation);
        if (id == 0) id = *dispatcher_.submit(make_spec({6, 6}, 10), sink, now_ns_);
        worker->step_plan = {id};
        dispatcher_.remove_worker(incarnation, shm::PeerEnd::kOwnFault, now_ns_);
    }
    add_worker(4);
    const Applicant applicant = {.model_key = 1, .digests = {&digest, 1}};
    EXPECT_EQ(admission_.check(applicant, now_ns_).refusal, Refusal::kQuarantined);
    EXPECT_EQ(check().refusal, Refusal::kNone);
    now_ns_ += Quarantine::kRefusedNs;
    EXPECT_EQ(admission_.check(applicant, now_ns_).refusal, Refusal::kNone);
}

}  // namespace
}  // namespace bitnetd::frontend
