#include "supervisor/frontend/api/health.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/base/clock.h"
#include "shm/control/text_field.h"

namespace bitnetd::frontend {

Response Health::overall(uint64_t now_ns) {
    refresh(now_ns);
    Response response;
    response.status = models_ready_ > 0 ? 200 : 503;
    response.body = body_;
    return response;
}

Response Health::ready(uint64_t now_ns) {
    refresh(now_ns);
    Response response;
    if (models_ready_ > 0 && !draining_) {
        response.body = R"({"status":"ready"})";
        return response;
    }
    response.status = 503;
    response.body = draining_ ? R"({"status":"not_ready","reason":"draining"})"
                              : R"({"status":"not_ready","reason":"no model has a worker"})";
    return response;
}

void Health::refresh(uint64_t now_ns) {
    if (rendered_ns_ != 0 && now_ns < rendered_ns_ + kRefreshNs) return;
    rendered_ns_ = now_ns;
    const auto& models = *catalog_.list();
    models_ready_ = static_cast<size_t>(
        std::count_if(models.begin(), models.end(), [this, now_ns](const ListedModel& model) {
            return model.is_serving() && admission_.is_ready(model->key, now_ns);
        }));
    const auto workers = dispatcher_.workers();
    workers_ready_ = static_cast<uint32_t>(std::count_if(
        workers.begin(), workers.end(), [](const auto& worker) { return worker.ready; }));
    draining_ = admission_.is_draining() || supervisor_.draining != 0;
    body_ = render(now_ns);
}

std::string Health::render(uint64_t now_ns) const {
    const auto& models = *catalog_.list();
    const size_t models_serving = count_serving(models);
    const bool workers_whole = workers_ready_ >= supervisor_.workers_expected;
    std::string reason(shm::field_text(supervisor_.reason));
    if (reason.empty() && draining_) reason = "draining";
    if (reason.empty() && models_ready_ == 0) reason = "no model has a worker";
    if (reason.empty() && !workers_whole) reason = "fewer workers are ready than configured";
    std::string_view status = reason.empty() ? "healthy" : "degraded";
    if (models_ready_ == 0) status = "unhealthy";

    const auto part = [](bool whole, bool any) {
        return whole ? "healthy" : any ? "degraded" : "unhealthy";
    };
    const auto model = find_model(models, "");
    nlohmann::ordered_json json = {{"status", status}, {"version", BITNETD_VERSION}};
    json["model"] = model == nullptr ? nlohmann::ordered_json() : nlohmann::ordered_json(model->id);
    json["uptime_seconds"] = (now_ns - started_ns_) / kNsPerS;
    json["components"] = {{"frontend", {{"status", "healthy"}}},
                          {"workers",
                           {{"status", part(workers_whole, workers_ready_ > 0)},
                            {"ready", workers_ready_},
                            {"expected", supervisor_.workers_expected},
                            {"restarting", supervisor_.workers_restarting}}},
                          {"models",
                           {{"status", part(models_ready_ == models_serving && models_serving > 0,
                                            models_ready_ > 0)},
                            {"ready", models_ready_},
                            {"loading", supervisor_.models_loading}}}};
    json["reason"] = reason.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(reason);
    return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace bitnetd::frontend
