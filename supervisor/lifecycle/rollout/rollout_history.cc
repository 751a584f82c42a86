#include "supervisor/lifecycle/rollout/rollout_history.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "common/log/log.h"
#include "shm/control/text_field.h"
#include "supervisor/lifecycle/rollout/rollout_json.h"

namespace bitnetd::supervisor {
namespace {

using nlohmann::json;

constexpr size_t kLineBytesMax = 16 * 1024;

// The other way round of to_string(): the values are few.
template <typename Enum>
Enum parse(const std::string& text, Enum last) {
    for (uint32_t i = 0; i <= static_cast<uint32_t>(last); ++i) {
        if (to_string(static_cast<Enum>(i)) == text) return static_cast<Enum>(i);
    }
    throw std::invalid_argument("unknown name " + text);
}

json to_line(const RolloutRecord& record) {
    json line = to_json(record.message);
    line["number"] = record.message.number;
    line["old_path"] = record.old_path;
    line["old_digest"] = record.old_digest;
    line["new_path"] = record.new_path;
    return line;
}

RolloutRecord from_line(const std::string& text) {
    const json line = json::parse(text);
    RolloutRecord record;
    shm::RolloutMessage& message = record.message;
    message.number = line.at("number");
    message.kind = parse(line.at("kind"), shm::kLastRolloutKind);
    message.outcome = parse(line.at("status"), shm::kLastRolloutOutcome);
    message.phase = parse(line.at("phase"), shm::kLastRolloutPhase);
    message.progress_permille = message.outcome == shm::RolloutOutcome::kCompleted ? 1000 : 0;
    shm::set_field(message.model, line.at("model").get<std::string>());
    shm::set_field(message.reason, line.at("reason").get<std::string>());
    message.started_unix_ms = line.at("started_unix_ms");
    message.ended_unix_ms = line.at("ended_unix_ms");
    message.prepare_ms = line.at("prepare_ms");
    message.verify_ms = line.at("verify_ms");
    message.canary_ms = line.at("canary_ms");
    message.roll_ms = line.at("roll_ms");
    message.rollback_ms = line.at("rollback_ms");
    message.canary_copies = line.at("canary_copies");
    message.canary_different = line.at("canary_different");
    message.speed_ratio = line.at("speed_ratio");
    message.accuracy = line.at("accuracy");
    record.old_path = line.at("old_path");
    record.old_digest = line.at("old_digest");
    record.new_path = line.at("new_path");
    return record;
}

// A line that was cut off, by a kill or a full disk, ends here.
bool ends_within_line(const std::string& path) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    if (!file || file.tellg() <= 0) return false;
    file.seekg(-1, std::ios::end);
    return file.get() != '\n';
}

std::string text_of(const RolloutRecord& record) {
    return to_line(record).dump(-1, ' ', true, json::error_handler_t::replace) + '\n';
}

}  // namespace

Result<void> RolloutHistory::open(const std::string& directory) {
    if (directory.empty()) return {};
    path_ = directory + "/rollouts.jsonl";
    std::ifstream file(path_);
    std::string text;
    size_t lines = 0;
    size_t bad = 0;
    while (std::getline(file, text)) {
        ++lines;
        try {
            if (text.size() > kLineBytesMax) throw std::length_error("too long");
            records_.push_front(from_line(text));
        } catch (const std::exception&) {
            ++bad;
            continue;
        }
        last_number_ = std::max(last_number_, records_.front().message.number);
        if (records_.size() > kHistoryMax) records_.pop_back();
    }
    if (bad > 0) log::warn("rollout_history_damaged", {{"path", path_}, {"lines", bad}});
    // Said now, not at the first rollout.
    std::ofstream probe(path_, std::ios::app);
    if (!probe) return io_error("server.state_dir: cannot write " + path_, errno);
    if (lines > kHistoryMax) shorten();
    return {};
}

// The file anew, with what is known of it. Until the rename the long one is there.
void RolloutHistory::shorten() {
    const std::string fresh = path_ + ".new";
    std::ofstream file(fresh, std::ios::trunc);
    for (auto record = records_.rbegin(); record != records_.rend(); ++record)
        file << text_of(*record);
    file.close();
    if (!file || std::rename(fresh.c_str(), path_.c_str()) != 0) {
        log::warn("rollout_history_not_shortened", {{"path", path_}});
    }
}

void RolloutHistory::add(RolloutRecord record) {
    last_number_ = std::max(last_number_, record.message.number);
    append_to_disk(record);
    records_.push_front(std::move(record));
    if (records_.size() > kHistoryMax) records_.pop_back();
}

void RolloutHistory::append_to_disk(const RolloutRecord& record) {
    if (path_.empty()) return;
    const bool torn = ends_within_line(path_);
    std::ofstream file(path_, std::ios::app);
    file << (torn ? "\n" : "") << text_of(record);
    file.flush();
    if (!file) log::error("rollout_history_failed", {{"path", path_}});
}

const RolloutRecord* RolloutHistory::last_replacement(std::string_view model) const {
    for (const RolloutRecord& record : records_) {
        const bool replaced =
            record.message.outcome == shm::RolloutOutcome::kCompleted && !record.old_path.empty();
        if (replaced && shm::field_text(record.message.model) == model) return &record;
    }
    return nullptr;
}

}  // namespace bitnetd::supervisor
