// Goal: minima of accuracy are what the operator wrote, and the built-in ones where nothing was
// written; anything else is refused with what was expected. Method: texts.
#include "common/quant/accuracy_minima.h"

#include <gtest/gtest.h>

namespace bitnetd::quant {
namespace {

AccuracyMinima parsed(std::string_view text) {
    const auto minima = AccuracyMinima::parse(text);
    EXPECT_TRUE(minima.ok()) << minima.error().message;
    return minima.ok() ? *minima : AccuracyMinima();
}

std::string refusal(std::string_view text) {
    const auto minima = AccuracyMinima::parse(text);
    return minima.ok() ? "" : minima.error().message;
}

TEST(AccuracyMinima, BuiltIn) {
    const AccuracyMinima minima = parsed("");
    EXPECT_EQ(minima.of(Type::kI2_S), 0.99);
    EXPECT_EQ(minima.of(Type::kQ4_K), 0.99);
    EXPECT_EQ(minima.of(Type::kPackedU8), 0.99);
    EXPECT_EQ(minima.of(Type::kTL1), 0.98);
    EXPECT_EQ(minima.of(Type::kTL2), 0.98);
    EXPECT_EQ(minima.of(Type::kF32), 0.999);
    EXPECT_EQ(minima.of(Type::kBF16), 0.999);
    EXPECT_EQ(minima.of(Type::kI2_S), AccuracyMinima().of(Type::kI2_S));
}

TEST(AccuracyMinima, NamedTypesAndTheRest) {
    const AccuracyMinima one = parsed("I2_S=0.99999999");
    EXPECT_EQ(one.of(Type::kI2_S), 0.99999999);
    EXPECT_EQ(one.of(Type::kTL1), 0.98);
    const AccuracyMinima all = parsed("TL1=0.5,all=0,Q4_K=1");
    EXPECT_EQ(all.of(Type::kTL1), 0.5);
    EXPECT_EQ(all.of(Type::kQ4_K), 1);
    EXPECT_EQ(all.of(Type::kI2_S), 0);
    EXPECT_EQ(all.of(Type::kF16), 0);
}

TEST(AccuracyMinima, RefusesWhatIsNoMinimum) {
    EXPECT_EQ(refusal("I2_S"), "'I2_S': expected TYPE=MINIMUM, like I2_S=0.99");
    EXPECT_EQ(refusal("I2_S=0.9,"), "");
    EXPECT_EQ(refusal(","), "'': expected TYPE=MINIMUM, like I2_S=0.99");
    EXPECT_NE(refusal("I2S=0.9").find("'I2S' is not a type; expected I2_S"), std::string::npos);
    EXPECT_NE(refusal("=0.9").find("'' is not a type"), std::string::npos);
    for (const char* text : {"I2_S=", "I2_S=x", "I2_S=1.01", "I2_S=-0.1", "I2_S=0.9x", "I2_S= 0.9",
                             "I2_S=nan", "I2_S=inf", "I2_S=0,9"}) {
        EXPECT_NE(refusal(text).find("expected"), std::string::npos) << text;
    }
    EXPECT_EQ(refusal("I2_S=0.9,F16=0.9,I2_S=0.9"), "'I2_S' is there twice");
    EXPECT_EQ(refusal("all=0,all=0"), "'all' is there twice");
}

}  // namespace
}  // namespace bitnetd::quant
