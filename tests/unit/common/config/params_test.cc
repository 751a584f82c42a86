// Goal: the table of settings is sound: what it says of each row is what reading and comparing do.
// Method: every row in turn, set to something other than its default.
#include "common/config/params.h"

#include <gtest/gtest.h>

#include <set>

namespace bitnetd {
namespace {

// A text that `row` takes and that is not its default.
std::string other_value(const ParamRow& row) {
    if (row.range_text.empty()) return "x=1";
    const size_t dots = row.range_text.find(" .. ");
    const std::string min = row.range_text.substr(0, dots);
    return min == row.default_text ? row.range_text.substr(dots + 4) : min;
}

TEST(Params, RowsHaveDistinctKeysAndAWordOfHelp) {
    std::set<std::string> keys;
    for (const ParamRow& row : param_rows()) {
        EXPECT_TRUE(keys.insert(row.key()).second) << row.key();
        EXPECT_TRUE(row.help.ends_with('.')) << row.key();
        ASSERT_NE(find_param_row(row.key()), nullptr);
        EXPECT_EQ(find_param_row(row.key())->help, row.help);
    }
    EXPECT_EQ(find_param_row("server.nothing"), nullptr);
    EXPECT_EQ(find_param_row(""), nullptr);
}

TEST(Params, DefaultsAreWithinTheirRanges) {
    Params params;
    for (const ParamRow& row : param_rows()) {
        if (row.is_list) continue;
        const auto set = set_param(params, row.section, row.name, row.default_text);
        EXPECT_TRUE(set.ok()) << set.error().message;
    }
    EXPECT_TRUE(changed_rows(Params{}, params).empty());
}

TEST(Params, AChangeOfAnyRowIsSeenAndTravels) {
    for (const ParamRow& row : param_rows()) {
        Params params;
        const auto set = set_param(params, row.section, row.name, other_value(row));
        ASSERT_TRUE(set.ok()) << set.error().message;
        const auto changed = changed_rows(Params{}, params);
        ASSERT_EQ(changed.size(), 1u) << row.key();
        EXPECT_EQ(changed[0].key(), row.key());
        const auto received = parse_settings(print_settings(params));
        ASSERT_TRUE(received.ok()) << received.error().message;
        EXPECT_TRUE(changed_rows(params, *received).empty()) << row.key();
    }
}

TEST(Params, RowsOfALaterBuildArePassedOver) {
    const auto received = parse_settings("server.workers=3\nserver.not_invented_yet=7\n");
    ASSERT_TRUE(received.ok()) << received.error().message;
    EXPECT_EQ(received->server_workers, 3u);
    EXPECT_FALSE(parse_settings("server.workers=none\n").ok());
    EXPECT_FALSE(parse_settings("nonsense\n").ok());
}

// A supervisor of a later build may know more rows than its child.
TEST(Params, WhatComesFromALaterBuildIsPassedOver) {
    const auto params = parse_settings("server.invented=1\nserver.workers=3\n");
    ASSERT_TRUE(params.ok()) << params.error().message;
    EXPECT_EQ(params->server_workers, 3u);
    EXPECT_FALSE(parse_settings("server.workers=0\n").ok());
    EXPECT_FALSE(parse_settings("nonsense\n").ok());
}

TEST(Params, RowsOfSomeClassesAreCopiedAndNoOthers) {
    for (const ParamRow& row : param_rows()) {
        Params from;
        ASSERT_TRUE(set_param(from, row.section, row.name, other_value(row)).ok()) << row.key();
        for (const Reload meant : {Reload::kRestart, Reload::kBoth}) {
            Params to;
            copy_rows(to, from, {meant, Reload::kLive});
            const bool is_copied = row.reload == meant || row.reload == Reload::kLive;
            EXPECT_EQ(changed_rows(from, to).empty(), is_copied) << row.key();
        }
    }
}

TEST(Params, TheOrderOfAListCounts) {
    Params before;
    before.server_model = {"a", "b"};
    Params after;
    after.server_model = {"b", "a"};
    EXPECT_EQ(changed_rows(before, after).size(), 1u);
}

}  // namespace
}  // namespace bitnetd
