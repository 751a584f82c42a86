// Goal: /health hears the worst thing first, in a text that always fits.
// Method: facts in, message out.
#include "supervisor/lifecycle/health.h"

#include <gtest/gtest.h>

#include "shm/control/text_field.h"

namespace bitnetd::supervisor {
namespace {

TEST(Health, AllWellHasNoReason) {
    HealthFacts facts;
    facts.workers_expected = 2;
    const auto message = health_message(facts);
    EXPECT_EQ(message.workers_expected, 2u);
    EXPECT_EQ(shm::field_text(message.reason), "");
}

TEST(Health, WorstComesFirst) {
    HealthFacts facts;
    facts.workers_expected = 2;
    facts.workers_restarting = 1;
    EXPECT_EQ(shm::field_text(health_message(facts).reason), "1 of 2 workers restarting");
    facts.models_refused = {"b: bad magic"};
    EXPECT_EQ(shm::field_text(health_message(facts).reason), "model refused: b: bad magic");
    facts.breakers_open = {"worker/1: signal 11 (SIGSEGV)"};
    EXPECT_EQ(shm::field_text(health_message(facts).reason),
              "keeps dying, left alone for a while: worker/1: signal 11 (SIGSEGV)");
}

TEST(Health, LongReasonIsCutAndEnds) {
    HealthFacts facts;
    facts.models_refused = {std::string(1000, 'x')};
    const auto message = health_message(facts);
    EXPECT_EQ(message.reason[sizeof message.reason - 1], '\0');
}

TEST(Health, SameFactsAreTheSame) {
    HealthFacts facts;
    EXPECT_TRUE(same_health(health_message(facts), health_message(facts)));
    const auto before = health_message(facts);
    facts.draining = true;
    EXPECT_FALSE(same_health(before, health_message(facts)));
}

}  // namespace
}  // namespace bitnetd::supervisor
