// Goal: the gate refuses what cannot be served, in the right order, and computes when to come back.
// Method: an Admission over a Dispatcher with scripted workers and a hand-turned clock.
#include "supervisor/frontend/gate/admission.h"

#include <gtest/gtest.h>

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
    Verdict check() { return admission_.check(1, PromptDigest{1, 2}, now_ns_); }

    TestBoard board_;
    uint64_t now_ns_ = 100 * kNsPerS;
    Dispatcher dispatcher_{board_.writer(), 2};
    Admission admission_{dispatcher_, 30'000};
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

TEST_F(AdmissionTest, AFullQueueSaysWhenAtTheMeasuredPace) {
    const auto worker = add_worker(1);
    RecordingSink sinks[8];
    size_t next = 0;
    const auto submit = [&] {
        return dispatcher_.submit(make_spec({5}, 10), sinks[next++], now_ns_);
    };
    submit();
    submit();
    submit();
    EXPECT_EQ(check().refusal, Refusal::kQueueFull);
    EXPECT_EQ(check().retry_after_ms, 1'000u) << "no pace to measure yet";
    for (int i = 0; i < 2; ++i) {
        now_ns_ += 4 * kNsPerS;
        const Assignment work = worker->submissions.back();
        worker->publish_token(work.flight, work.attempt, 1, 2, shm::Finish::kEndOfGeneration);
        dispatcher_.poll(now_ns_);
        submit();
    }
    EXPECT_EQ(check().refusal, Refusal::kQueueFull);
    EXPECT_EQ(check().retry_after_ms, 12'000u) << "two wait and one more, each four seconds";
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
    EXPECT_EQ(admission_.check(1, digest, now_ns_).refusal, Refusal::kQuarantined);
    EXPECT_EQ(check().refusal, Refusal::kNone);
    now_ns_ += Quarantine::kRefusedNs;
    EXPECT_EQ(admission_.check(1, digest, now_ns_).refusal, Refusal::kNone);
}

}  // namespace
}  // namespace bitnetd::frontend
