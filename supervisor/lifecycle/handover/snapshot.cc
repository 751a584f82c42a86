#include "supervisor/lifecycle/handover/snapshot.h"

#include <algorithm>
#include <map>
#include <set>

#include "common/base/quote.h"
#include "supervisor/lifecycle/handover/fd_name.h"
#include "supervisor/lifecycle/handover/handover_version.h"
#include "supervisor/lifecycle/handover/snapshot_json.h"
#include "supervisor/lifecycle/handover/state_table.h"

namespace bitnetd::shm {

supervisor::EnumNames<Role> enum_names(Role) {
    static constexpr std::pair<Role, std::string_view> kNames[] = {{Role::kFrontend, "frontend"},
                                                                   {Role::kWorker, "worker"}};
    return kNames;
}

supervisor::EnumNames<ModelStanding> enum_names(ModelStanding) {
    static constexpr std::pair<ModelStanding, std::string_view> kNames[] = {
        {ModelStanding::kServing, "serving"},
        {ModelStanding::kCanary, "canary"},
        {ModelStanding::kRetiring, "retiring"}};
    return kNames;
}

}  // namespace bitnetd::shm

namespace bitnetd::supervisor {

EnumNames<SlotUse> enum_names(SlotUse) {
    static constexpr std::pair<SlotUse, std::string_view> kNames[] = {
        {SlotUse::kVacant, "vacant"},
        {SlotUse::kServing, "serving"},
        {SlotUse::kRetiring, "retiring"}};
    return kNames;
}

EnumNames<ChildPhase> enum_names(ChildPhase) {
    static constexpr std::pair<ChildPhase, std::string_view> kNames[] = {
        {ChildPhase::kStarting, "starting"},
        {ChildPhase::kReady, "ready"},
        {ChildPhase::kDraining, "draining"},
        {ChildPhase::kAborting, "aborting"},
        {ChildPhase::kKilling, "killing"}};
    return kNames;
}

// --- fields --------------------------------------------------------------------------------------

void describe(auto& field, Either<ListenerSnapshot> auto& it) {
    field("number", it.number);
    field("asked", it.asked);
    field("address", it.address);
    field("unix_path", it.unix_path);
    field("fd", it.fd);
}

void describe(auto& field, Either<ControlSnapshot> auto& it) {
    field("path", it.path);
    field("fd", it.fd);
}

void describe(auto& field, Either<ModelSnapshot> auto& it) {
    field("key", it.key);
    field("id", it.id);
    field("path", it.path);
    field("loaded_unix_s", it.loaded_unix_s);
    field("is_default", it.is_default);
    field("standing", it.standing);
    field.raw("facts", it.facts);
    field("weights_fd", it.weights_fd);
    field("vocabulary_fd", it.vocabulary_fd);
}

void describe(auto& field, Either<SlotSnapshot> auto& it) {
    field("role", it.role);
    field("index", it.index);
    field("name", it.name);
    field("use", it.use);
    field("last_board_fd", it.last_board_fd);
    field("model_key", it.model_key);
    field("device", it.device);
    field("core_share", it.cores.index);
    field("core_shares", it.cores.count);
    field("cores_are_shared", it.cores.is_shared);
    field("is_canary", it.is_canary);
    field("kv_bytes", it.kv_bytes);
    field("kv_arena_fd", it.kv_arena_fd);
}

void describe(auto& field, Either<ProcessSnapshot> auto& it) {
    field("slot", it.slot);
    field("incarnation", it.incarnation);
    field("pid", it.pid);
    field("start_ticks", it.start_ticks);
    field("role", it.role);
    field("phase", it.phase);
    field("started_ns", it.started_ns);
    field("deadline_ns", it.deadline_ns);
    field("pidfd", it.pidfd);
    field("control_fd", it.control_fd);
    field("board_fd", it.board_fd);
    field("doorbell_fd", it.doorbell_fd);
    field("model_key", it.model_key);
    field("device", it.device);
    field("kernel_isa", it.kernel_isa);
    field("slots_max", it.slots_max);
    field("is_canary", it.is_canary);
}

void describe(auto& field, Either<RingPairSnapshot> auto& it) {
    field("frontend", it.frontend);
    field("worker", it.worker);
    field("name", it.name);
    field("credits", it.credits);
    field("requests_fd", it.requests_fd);
    field("tokens_fd", it.tokens_fd);
}

void describe(auto& field, Either<RolloutSnapshot> auto& it) {
    field.raw("message", it.message);
}

void describe(auto& field, Either<SupervisorSnapshot> auto& it) {
    field("build", it.build);
    field("executable", it.executable);
    field("args", it.args);
    field("settings", it.settings);
    field("started_ns", it.started_ns);
    field("was_ready", it.was_ready);
    field("own_incarnation", it.own_incarnation);
    field("own_board_fd", it.own_board_fd);
    field("next_incarnation", it.next_incarnation);
    field("next_model_key", it.next_model_key);
    field("next_rollout", it.next_rollout);
    field("listeners", it.listeners);
    field("control", it.control);
    field("models", it.models);
    field("slots", it.slots);
    field("processes", it.processes);
    field("rings", it.rings);
    field("rollout", it.rollout);
}

// --- consistency ---------------------------------------------------------------------------------
namespace {

Error inconsistent(const std::string& what) {
    return invalid("state: " + what);
}

Result<void> check_fds(const SupervisorSnapshot& snapshot) {
    std::vector<std::string_view> names;
    for (const auto& it : snapshot.listeners)
        names.insert(names.end(), {it.fd});
    if (snapshot.control) names.push_back(snapshot.control->fd);
    for (const auto& it : snapshot.models)
        names.insert(names.end(), {it.weights_fd, it.vocabulary_fd});
    for (const auto& it : snapshot.slots)
        names.insert(names.end(), {it.kv_arena_fd, it.last_board_fd});
    for (const auto& it : snapshot.processes)
        names.insert(names.end(), {it.pidfd, it.control_fd, it.board_fd, it.doorbell_fd});
    for (const auto& it : snapshot.rings)
        names.insert(names.end(), {it.requests_fd, it.tokens_fd});

    std::set<std::string_view> seen;
    for (const std::string_view name : names) {
        if (name.empty()) continue;
        BITNETD_TRY(check_fd_name(name));
        if (!seen.insert(name).second) {
            return inconsistent("descriptor " + std::string(name) + " is there twice");
        }
    }
    return {};
}

Result<void> check_models(const SupervisorSnapshot& snapshot) {
    std::set<uint64_t> keys;
    for (const ModelSnapshot& model : snapshot.models) {
        if (model.key == 0 || model.key >= snapshot.next_model_key ||
            !keys.insert(model.key).second) {
            return inconsistent("model " + std::to_string(model.key) +
                                " is there twice, or its number will be given again (next: " +
                                std::to_string(snapshot.next_model_key) + ")");
        }
    }
    return {};
}

Result<void> check_processes(const SupervisorSnapshot& snapshot) {
    std::set<std::string_view> free_slots;
    std::map<shm::Role, uint32_t> next_index;
    for (const SlotSnapshot& slot : snapshot.slots) {
        if (slot.index != next_index[slot.role]++) {
            return inconsistent("slot " + slot.name + " has index " + std::to_string(slot.index) +
                                " and is not in its order");
        }
        if (!free_slots.insert(slot.name).second) {
            return inconsistent("slot " + slot.name + " is there twice");
        }
    }
    std::set<uint64_t> incarnations;
    for (const ProcessSnapshot& process : snapshot.processes) {
        const std::string name = "process " + std::to_string(process.incarnation);
        if (process.incarnation == 0 || process.incarnation >= snapshot.next_incarnation ||
            !incarnations.insert(process.incarnation).second) {
            return inconsistent(name +
                                " is there twice, or its number will be given again (next: " +
                                std::to_string(snapshot.next_incarnation) + ")");
        }
        if (process.pid <= 1) {
            return inconsistent(name + " has pid " + std::to_string(process.pid));
        }
        if (free_slots.erase(process.slot) == 0) {
            return inconsistent(name + " is in slot '" + process.slot +
                                "', which is taken or not there");
        }
    }
    for (const RingPairSnapshot& pair : snapshot.rings) {
        if (!incarnations.contains(pair.frontend) || !incarnations.contains(pair.worker)) {
            return inconsistent("rings '" + pair.name + "' of a process that is not there");
        }
    }
    return {};
}

}  // namespace

// --- text ----------------------------------------------------------------------------------------
namespace {

// Ours has 4 levels. The library takes any number, but time that grows with its square to free
// them.
constexpr int kDepthMax = 16;

bool is_too_deep(std::string_view text) {
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.size() && depth <= kDepthMax; ++i) {
        const char c = text[i];
        if (c == '"') in_string = !in_string;
        if (in_string && c == '\\') ++i;
        if (!in_string && (c == '[' || c == '{')) ++depth;
        if (!in_string && (c == ']' || c == '}')) --depth;
    }
    return depth > kDepthMax;
}

}  // namespace

std::string to_text(const SupervisorSnapshot& snapshot) {
    FieldWriter fields;
    describe(fields, snapshot);
    nlohmann::json object = fields.take();
    object["version"] = handover_version();
    return object.dump();
}

Result<SupervisorSnapshot> parse_snapshot(std::string_view text) {
    if (text.size() > kStateTextBytesMax) {
        return invalid("state of " + std::to_string(text.size()) + " bytes; at most " +
                       std::to_string(kStateTextBytesMax));
    }
    if (is_too_deep(text)) {
        return invalid("state: more than " + std::to_string(kDepthMax) + " levels of nesting");
    }
    auto object = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!object.is_object()) return invalid("state: expected a JSON object");
    const auto version = object.find("version");
    if (version == object.end()) return invalid("state: version is missing");
    if (*version != handover_version()) {
        const std::string theirs =
            version->dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
        return unsupported("state of hand-over version " + quote(theirs) + "; this build reads \"" +
                           handover_version() + "\"");
    }
    object.erase(version);

    SupervisorSnapshot snapshot;
    FieldReader fields(object, "");
    describe(fields, snapshot);
    BITNETD_TRY(fields.finish());
    BITNETD_TRY(check_fds(snapshot));
    BITNETD_TRY(check_models(snapshot));
    BITNETD_TRY(check_processes(snapshot));
    return snapshot;
}

}  // namespace bitnetd::supervisor
