// Goal: JSON comes back with its keys in the order of the text, duplicates resolved, faults told
// apart, and many keys cost no more than sorting them. Method: texts with their exact rendering
// beside them; comparison with nlohmann's own reader on nested documents; an object of two hundred
// thousand keys, which a search per key would not finish within the watchdog.
#include "supervisor/frontend/api/ordered_json.h"

#include <gtest/gtest.h>

#include <string>

namespace bitnetd::frontend {
namespace {

std::string read(std::string_view text) {
    OrderedJson value;
    const auto fault = read_ordered_json(text, value);
    return fault ? "fault at " + std::to_string(fault->byte) : value.dump();
}

TEST(OrderedJsonTest, KeysKeepTheirOrder) {
    EXPECT_EQ(read(R"({"z":1,"a":{"y":[{"c":1,"b":2}],"x":null},"m":""})"),
              R"({"z":1,"a":{"y":[{"c":1,"b":2}],"x":null},"m":""})");
    EXPECT_EQ(read("[]"), "[]");
    EXPECT_EQ(read(" [ {} , [ ] , -1 , 1.5 , true , \"\\u00e9\" ] "), R"([{},[],-1,1.5,true,"é"])");
    EXPECT_EQ(read("7"), "7");
}

TEST(OrderedJsonTest, OfDuplicatesTheLastValueAtTheFirstPlace) {
    EXPECT_EQ(read(R"({"b":1,"a":2,"b":3})"), R"({"b":3,"a":2})");
    EXPECT_EQ(read(R"({"b":1,"b":2,"b":[{"c":0,"c":1}]})"), R"({"b":[{"c":1}]})");
    EXPECT_EQ(read(R"({"":1,"":{}})"), R"({"":{}})");
    // A duplicate that is opened while the first is closed already.
    EXPECT_EQ(read(R"({"a":{"x":1},"c":0,"a":{"y":2}})"), R"({"a":{"y":2},"c":0})");
}

TEST(OrderedJsonTest, ReadsWhatTheLibraryReads) {
    const std::string text =
        R"({"tools":[{"type":"function","function":{"name":"f","description":"d \"q\" \\ ünï",)"
        R"("parameters":{"type":"object","properties":{"z":{"type":"integer","default":-6},)"
        R"("a":{"enum":[1,2.25,1e3,null,false]}},"required":["z"]}}}],"n":18446744073709551615})";
    OrderedJson value;
    ASSERT_FALSE(read_ordered_json(text, value));
    EXPECT_EQ(value, OrderedJson::parse(text));
}

TEST(OrderedJsonTest, FaultsAreToldApart) {
    OrderedJson value;
    for (const char* text :
         {"", "{", "[1,]", "{\"a\":1}x", "{\"a\" 1}", "\"\\ud800\"", "\"\xff\"", "NaN", "{1:2}"}) {
        const auto fault = read_ordered_json(text, value);
        ASSERT_TRUE(fault) << text;
        EXPECT_FALSE(fault->is_number_too_large) << text;
        EXPECT_GT(fault->byte, 0u) << text;
    }
    const auto fault = read_ordered_json("[1e999]", value);
    ASSERT_TRUE(fault);
    EXPECT_TRUE(fault->is_number_too_large);
}

TEST(OrderedJsonTest, ManyKeys) {
    constexpr int kKeys = 200'000;
    std::string text = "{";
    for (int i = 0; i < kKeys; ++i)
        text += "\"k" + std::to_string(i % (kKeys - 1)) + "\":" + std::to_string(i) + ",";
    text.back() = '}';
    OrderedJson value;
    ASSERT_FALSE(read_ordered_json(text, value));
    EXPECT_EQ(value.size(), size_t{kKeys} - 1);
    EXPECT_EQ(value.begin().key(), "k0");
    EXPECT_EQ(*value.begin(), kKeys - 1) << "the last value of the only duplicate";
}

}  // namespace
}  // namespace bitnetd::frontend
