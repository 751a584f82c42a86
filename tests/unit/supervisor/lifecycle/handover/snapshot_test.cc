// Goal: what a supervisor writes about itself its successor reads unchanged; a text that is of
// another version, cut off, altered or made up is refused with the place that is wrong.
// Method: a snapshot with every field set goes through text and back; then its text and its JSON
// are changed in every place.
#include "supervisor/lifecycle/handover/snapshot.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "shm/control/text_field.h"
#include "supervisor/lifecycle/handover/fd_name.h"
#include "supervisor/lifecycle/handover/handover_version.h"
#include "supervisor/lifecycle/handover/state_table.h"

namespace bitnetd::supervisor {
namespace {

using Json = nlohmann::json;

ModelSnapshot model(uint64_t key) {
    ModelSnapshot it;
    it.key = key;
    it.id = "tiny";
    it.path = "/models/na\xefve \xe2\x82\xac.gguf";  // Latin-1, then UTF-8: a path is bytes
    it.loaded_unix_s = -5;
    it.is_default = true;
    it.standing = shm::ModelStanding::kCanary;
    it.facts.weights_bytes = 0x0123456789abcdef;
    shm::set_field(it.facts.architecture, "bitnet-b1.58");
    it.weights_fd = fd_name::model(key, "weights");
    it.vocabulary_fd = fd_name::model(key, "vocabulary");
    return it;
}

ProcessSnapshot process(const std::string& slot, uint64_t incarnation, shm::Role role) {
    ProcessSnapshot it;
    it.slot = slot;
    it.incarnation = incarnation;
    it.pid = 4000 + static_cast<int32_t>(incarnation);
    it.start_ticks = 77;
    it.role = role;
    it.phase = ChildPhase::kDraining;
    it.started_ns = 123;
    it.deadline_ns = UINT64_MAX;
    it.pidfd = fd_name::process(incarnation, "pidfd");
    it.control_fd = fd_name::process(incarnation, "control");
    it.board_fd = fd_name::process(incarnation, "board");
    it.doorbell_fd = fd_name::process(incarnation, "doorbell");
    it.model_key = 3;
    it.device = "cpu:0";
    it.kernel_isa = "avx2";
    it.slots_max = 16;
    it.is_canary = true;
    return it;
}

SupervisorSnapshot full_snapshot() {
    SupervisorSnapshot it;
    it.build = "0.1.0";
    it.executable = "/usr/bin/bitnetd";
    it.args = {"bitnetd", "--config", std::string("a\0b\x7f\xff", 5)};
    it.settings = "server.workers=2\n";
    it.started_ns = 99;
    it.was_ready = true;
    it.own_incarnation = 1;
    it.own_board_fd = fd_name::process(1, "board");
    it.next_incarnation = 13;
    it.next_model_key = 4;
    it.next_rollout = 2;
    it.listeners = {
        {0, "127.0.0.1:0", "127.0.0.1:8080", "", fd_name::listener(0)},
        {2, "unix:/run/b.sock", "unix:/run/b.sock", "/run/b.sock", fd_name::listener(2)}};
    it.control = ControlSnapshot{"/run/control", std::string(fd_name::kControl)};
    it.models = {model(3)};
    it.slots = {
        {shm::Role::kFrontend, 0, "frontend/0", SlotUse::kServing, "", 0, "", {}, false, 0, ""},
        {shm::Role::kWorker,
         0,
         "worker/0",
         SlotUse::kRetiring,
         fd_name::process(4, "board"),
         3,
         "cpu:0",
         {1, 3, true},
         true,
         uint64_t{1} << 40,
         fd_name::kv_arena(0)}};
    it.processes = {process("frontend/0", 5, shm::Role::kFrontend),
                    process("worker/0", 12, shm::Role::kWorker)};
    it.rings = {{5, 12, "frontend/0 -> worker/0", 16, fd_name::ring(5, 12, "requests"),
                 fd_name::ring(5, 12, "tokens")}};
    it.rollout.emplace();
    it.rollout->message.number = 1;
    shm::set_field(it.rollout->message.reason, "because");
    return it;
}

std::string error_of(const std::string& text) {
    auto parsed = parse_snapshot(text);
    return parsed.ok() ? "(none)" : parsed.error().message;
}

std::string error_of(const Json& object) {
    return error_of(object.dump());
}

TEST(Snapshot, EverythingComesBack) {
    const SupervisorSnapshot before = full_snapshot();
    const std::string text = to_text(before);
    auto after = parse_snapshot(text);
    ASSERT_TRUE(after.ok()) << after.error().message;
    EXPECT_EQ(to_text(*after), text);
    // That both directions leave out the same field would not show above.
    EXPECT_EQ(after->args, before.args);
    EXPECT_EQ(after->models[0].path, before.models[0].path);
    EXPECT_EQ(after->models[0].loaded_unix_s, -5);
    EXPECT_EQ(after->models[0].standing, shm::ModelStanding::kCanary);
    EXPECT_EQ(std::memcmp(&after->models[0].facts, &before.models[0].facts,
                          sizeof before.models[0].facts),
              0);
    EXPECT_EQ(after->slots[1].use, SlotUse::kRetiring);
    EXPECT_EQ(after->slots[1].cores.count, 3u);
    EXPECT_EQ(after->slots[1].kv_bytes, uint64_t{1} << 40);
    EXPECT_EQ(after->processes[1].phase, ChildPhase::kDraining);
    EXPECT_EQ(after->processes[1].deadline_ns, UINT64_MAX);
    EXPECT_TRUE(after->processes[1].is_canary);
    EXPECT_EQ(after->rings[0].worker, 12u);
    EXPECT_EQ(after->control->path, "/run/control");
    EXPECT_STREQ(after->rollout->message.reason, "because");
    EXPECT_TRUE(after->was_ready);
    EXPECT_EQ(after->listeners[1].number, 2u);
    EXPECT_EQ(after->slots[1].last_board_fd, "p4.board");
}

TEST(Snapshot, AnEmptyFleetHasASnapshotToo) {
    auto after = parse_snapshot(to_text(SupervisorSnapshot{}));
    ASSERT_TRUE(after.ok()) << after.error().message;
    EXPECT_FALSE(after->control.has_value());
    EXPECT_FALSE(after->rollout.has_value());
    EXPECT_TRUE(after->processes.empty());
}

TEST(Snapshot, AnotherVersionIsToldFromNonsense) {
    Json object = Json::parse(to_text(full_snapshot()));
    object["version"] = "9.9.9";
    auto parsed = parse_snapshot(object.dump());
    ASSERT_FALSE(parsed.ok());
    EXPECT_EQ(parsed.error().code, ErrorCode::kUnsupported);
    EXPECT_EQ(
        parsed.error().message,
        "state of hand-over version '\"9.9.9\"'; this build reads \"" + handover_version() + "\"");
    object["version"] = 1;  // a number, in the first versions
    EXPECT_EQ(parse_snapshot(object.dump()).error().code, ErrorCode::kUnsupported);
    object.erase("version");
    EXPECT_EQ(error_of(object), "state: version is missing");
}

TEST(Snapshot, ATruncatedTextIsRefused) {
    const std::string text = to_text(full_snapshot());
    for (size_t bytes = 0; bytes < text.size(); bytes += bytes + 40 < text.size() ? 7 : 1) {
        ASSERT_FALSE(parse_snapshot(std::string_view(text).substr(0, bytes)).ok()) << bytes;
    }
}

// Walks through all values of the JSON and puts something wrong in the place of each.
void for_each_place(Json& root, Json& value, const std::function<void()>& check) {
    const Json kept = value;
    for (const Json& wrong : {Json(), Json(-1), Json(1.5), Json("\xe2\x82\xac"), Json::array({1}),
                              Json{{"x", 1}}, Json(true)}) {
        if (wrong.type() == kept.type() && !kept.is_structured() && !kept.is_string()) continue;
        value = wrong;
        check();
    }
    value = kept;
    if (!value.is_structured()) return;
    for (auto& item : value)
        for_each_place(root, item, check);
}

TEST(Snapshot, AWrongValueAnywhereIsRefused) {
    Json root = Json::parse(to_text(full_snapshot()));
    // The two that may be absent, and a boolean, for which one wrong value is right.
    size_t places = 0, taken = 0;
    for_each_place(root, root, [&] {
        ++places;
        auto parsed = parse_snapshot(root.dump());
        // What is taken must be a snapshot again.
        if (!parsed.ok()) return;
        ++taken;
        EXPECT_TRUE(parse_snapshot(to_text(*parsed)).ok());
    });
    EXPECT_GT(places, 400u);
    // null for "control" and for "rollout"; -1 for the time of a load.
    EXPECT_LE(taken, 3u);
}

TEST(Snapshot, ErrorsNameThePlace) {
    const Json good = Json::parse(to_text(full_snapshot()));
    Json bad = good;
    bad["processes"][1]["pid"] = uint64_t{1} << 40;
    EXPECT_EQ(error_of(bad),
              "state: processes[1].pid: expected an integer within its range, found "
              "'1099511627776'");
    bad = good;
    bad["slots"][0]["role"] = "loader";
    EXPECT_EQ(error_of(bad),
              "state: slots[0].role: expected one of frontend worker, found '\"loader\"'");
    bad = good;
    bad["slots"][0].erase("use");
    EXPECT_EQ(error_of(bad), "state: slots[0].use is missing");
    bad = good;
    bad["slots"][0]["colour"] = 1;
    EXPECT_NE(error_of(bad).find("slots[0] has 14 fields"), std::string::npos) << error_of(bad);
    bad = good;
    bad["models"][0]["facts"] = "00";
    EXPECT_NE(error_of(bad).find("models[0].facts: expected 792 bytes"), std::string::npos);
    std::string hex = good["models"][0]["facts"];
    hex[3] = 'g';
    bad["models"][0]["facts"] = hex;
    EXPECT_NE(error_of(bad).find("models[0].facts"), std::string::npos);
    bad = good;
    bad["rings"] = Json::array();
    for (int i = 0; i < 65537; ++i)
        bad["rings"].push_back(0);
    EXPECT_NE(error_of(bad).find("rings: expected an array of at most"), std::string::npos);
}

TEST(Snapshot, WhatContradictsItselfIsRefused) {
    const auto error_with = [](const std::function<void(SupervisorSnapshot&)>& change) {
        SupervisorSnapshot snapshot = full_snapshot();
        change(snapshot);
        return error_of(to_text(snapshot));
    };
    EXPECT_EQ(error_with([](auto&) {}), "(none)");
    EXPECT_NE(error_with([](auto& it) { it.next_incarnation = 12; }).find("process 12"),
              std::string::npos);
    EXPECT_NE(error_with([](auto& it) { it.next_model_key = 3; }).find("model 3"),
              std::string::npos);
    EXPECT_NE(error_with([](auto& it) { it.processes[1].incarnation = 5; }).find("process 5"),
              std::string::npos);
    for (const int pid : {1, 0, -1}) {
        EXPECT_NE(error_with([&](auto& it) { it.processes[0].pid = pid; }).find("has pid"),
                  std::string::npos);
    }
    EXPECT_NE(error_with([](auto& it) { it.processes[1].slot = "frontend/0"; }).find("slot"),
              std::string::npos);
    EXPECT_NE(error_with([](auto& it) { it.slots[1].name = "frontend/0"; }).find("twice"),
              std::string::npos);
    for (const uint32_t index : {1u, 4'000'000'000u}) {
        EXPECT_NE(error_with([&](auto& it) { it.slots[1].index = index; }).find("order"),
                  std::string::npos);
    }
    EXPECT_NE(error_with([](auto& it) { it.slots[1].last_board_fd = "p5.board"; }).find("twice"),
              std::string::npos);
    EXPECT_NE(error_with([](auto& it) { it.rings[0].worker = 9; }).find("rings"),
              std::string::npos);
    EXPECT_NE(error_with([](auto& it) { it.listeners[0].fd = "a:b"; }).find("'a:b'"),
              std::string::npos);
    EXPECT_NE(error_with([](auto& it) { it.listeners[0].fd = "p5.board"; }).find("twice"),
              std::string::npos);
    // No descriptor came through, say because the store was full: that is for the reader to judge.
    EXPECT_EQ(error_with([](auto& it) {
                  it.processes[0].pidfd = "";
                  it.processes[1].pidfd = "";
              }),
              "(none)");
}

TEST(Snapshot, HostileTextsEndQuickly) {
    const std::string deep = "state: more than 16 levels of nesting";
    EXPECT_EQ(error_of(std::string(1'000'000, '[')), deep);
    EXPECT_EQ(error_of(R"({"x\":":"\"",)" + std::string(1'000'000, '{')), deep);
    std::string nested = R"({"version":1,"listeners":)";
    nested += std::string(400'000, '[') + std::string(400'000, ']') + "}";
    EXPECT_EQ(error_of(nested), deep);
    EXPECT_EQ(error_of(std::string(400'000, ']') + std::string(400'000, '[')),
              "state: expected a JSON object");
    EXPECT_NE(error_of(std::string(kStateTextBytesMax + 1, ' ')).find("at most"),
              std::string::npos);
    EXPECT_EQ(error_of(std::string("\xff\xfe{}", 4)), "state: expected a JSON object");
    EXPECT_EQ(error_of(std::string("{\"version\":1e400}")), "state: expected a JSON object");
}

}  // namespace
}  // namespace bitnetd::supervisor
