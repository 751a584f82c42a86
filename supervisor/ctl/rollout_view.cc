#include "supervisor/ctl/rollout_view.h"

#include <ctime>

#include "supervisor/ctl/table.h"

namespace bitnetd::supervisor {
namespace {

// Local time, as the operator's clock on the wall: "2026-11-22 03:04:05".
std::string time_text(uint64_t unix_ms) {
    if (unix_ms == 0) return {};
    const auto seconds = static_cast<time_t>(unix_ms / 1000);
    tm local{};
    char text[64];
    if (localtime_r(&seconds, &local) == nullptr) return {};
    return std::string(text, strftime(text, sizeof text, "%F %T", &local));
}

std::string what(const Json& rollout) {
    const std::string model = text_of(rollout, "model");
    return text_of(rollout, "kind") + (model.empty() ? "" : " " + model);
}

uint64_t duration_ms(const Json& rollout) {
    const uint64_t started = count_of(rollout, "started_unix_ms");
    const uint64_t ended = count_of(rollout, "ended_unix_ms");
    return ended > started ? ended - started : 0;
}

std::string phases_text(const Json& rollout) {
    constexpr std::pair<const char*, const char*> kPhases[] = {{"prepare_ms", "prepare "},
                                                               {"verify_ms", "verify "},
                                                               {"canary_ms", "canary "},
                                                               {"roll_ms", "roll "},
                                                               {"rollback_ms", "rollback "}};
    std::string text;
    for (const auto& [key, name] : kPhases) {
        const uint64_t took_ms = count_of(rollout, key);
        if (took_ms > 0) text += (text.empty() ? "" : ", ") + (name + span_text(took_ms));
    }
    return text;
}

std::string measured_text(const Json& rollout) {
    std::string text;
    const auto add = [&](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
    if (const uint64_t copies = count_of(rollout, "canary_copies"); copies > 0) {
        const uint64_t different = count_of(rollout, "canary_different");
        add(std::to_string(copies) + " canary copies" +
            (different > 0 ? " (" + std::to_string(different) + " different)" : ""));
    }
    char number[32];
    if (const double ratio = number_of(rollout, "speed_ratio"); ratio > 0) {
        std::snprintf(number, sizeof number, "%.2f", std::min(ratio, 1e6));
        add(std::string("speed ") + number + " of the old one's");
    }
    if (const double accuracy = number_of(rollout, "accuracy"); accuracy > 0) {
        std::snprintf(number, sizeof number, "%.5f", std::min(accuracy, 1e6));
        add(std::string("accuracy ") + number);
    }
    return text;
}

}  // namespace

bool is_running(const Json& rollout) {
    return text_of(rollout, "status") == "running";
}

bool is_completed(const Json& rollout) {
    return text_of(rollout, "status") == "completed";
}

std::string rollout_phase(const Json& rollout) {
    return what(rollout) + ": " + text_of(rollout, "phase");
}

std::string rollout_summary(const Json& rollout) {
    std::string text = text_of(rollout, "id") + " " + what(rollout);
    if (is_running(rollout)) {
        text += ": " + text_of(rollout, "phase") + ", " +
                percent_text(std::min(number_of(rollout, "progress"), 1.0));
    } else {
        text += " " + text_of(rollout, "status");
        if (const uint64_t took_ms = duration_ms(rollout); took_ms > 0) {
            text += " in " + span_text(took_ms);
        }
    }
    if (const std::string phases = phases_text(rollout); !phases.empty())
        text += " (" + phases + ")";
    if (const std::string measured = measured_text(rollout); !measured.empty()) {
        text += "; " + measured;
    }
    if (const std::string reason = text_of(rollout, "reason"); !reason.empty()) {
        text += ": " + reason;
    }
    return text;
}

std::string rollouts_text(const Json& rollouts) {
    if (!rollouts.is_array() || rollouts.empty()) return "no rollouts yet\n";
    using Align = Table::Align;
    Table table({{"ROLLOUT"},
                 {"WHAT"},
                 {"STATUS"},
                 {"PHASE"},
                 {"STARTED"},
                 {"TOOK", Align::kRight},
                 {"REASON"}});
    for (const Json& rollout : rollouts) {
        const uint64_t took_ms = duration_ms(rollout);
        table.add({text_of(rollout, "id"), what(rollout), text_of(rollout, "status"),
                   is_completed(rollout) ? "" : text_of(rollout, "phase"),
                   time_text(count_of(rollout, "started_unix_ms")),
                   took_ms > 0 ? span_text(took_ms) : "", text_of(rollout, "reason")});
    }
    return table.text();
}

}  // namespace bitnetd::supervisor
