#include "tests/bench/serve/http_get.h"

#include <sys/epoll.h>

#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "common/base/clock.h"
#include "tests/bench/serve/connection.h"

namespace bitnetd::bench {

Result<Page> http_get(const Address& address, const std::string& path, uint64_t timeout_ms) {
    const Fd epoll(epoll_create1(EPOLL_CLOEXEC));
    if (!epoll) return io_error("make an epoll set", errno);
    Connection connection;
    BITNETD_ASSIGN(const bool is_open, connection.open(address, epoll.get(), 0));
    if (!is_open) return Error{ErrorCode::kUnavailable, address.text() + " takes no connection"};
    connection.reader().begin(false, nullptr);
    const std::string request = "GET " + path + " HTTP/1.1\r\nHost: " + address.host() + "\r\n\r\n";
    connection.send(request);
    std::array<char, 16384> buffer;
    const uint64_t deadline_ns = monotonic_ns() + timeout_ms * kNsPerMs;
    for (uint64_t now_ns = monotonic_ns(); now_ns < deadline_ns; now_ns = monotonic_ns()) {
        epoll_event event{};
        const auto wait_ms = static_cast<int>((deadline_ns - now_ns) / kNsPerMs + 1);
        if (epoll_wait(epoll.get(), &event, 1, wait_ms) < 1) continue;
        if (!connection.on_ready(event.events, buffer, monotonic_ns())) continue;
        const Answer& answer = connection.reader().answer();
        if (!answer.failure.empty()) {
            return Error{ErrorCode::kUnavailable, "GET " + path + ": " + answer.failure};
        }
        return Page{answer.status, connection.reader().body()};
    }
    return Error{ErrorCode::kUnavailable,
                 "GET " + path + ": no answer within " + std::to_string(timeout_ms) + " ms"};
}

Result<ServedModel> find_model(const Address& address, const std::string& id) {
    BITNETD_ASSIGN(const Page page, http_get(address, "/v1/models", 10'000));
    const auto list = nlohmann::json::parse(page.body, nullptr, false);
    const auto data = list.is_object() ? list.find("data") : list.end();
    if (page.status != 200 || data == list.end() || !data->is_array() || data->empty()) {
        return invalid("GET /v1/models: expected a list of models, found status " +
                       std::to_string(page.status) + " and " + page.body.substr(0, 200));
    }
    std::string known;
    for (const auto& model : *data) {
        ServedModel found{model.value("id", ""), model.value("context_length", uint32_t{0})};
        if (id.empty() || found.id == id) return found;
        known += (known.empty() ? "" : ", ") + found.id;
    }
    return invalid("the server has no model \"" + id + "\"; it has " + known);
}

}  // namespace bitnetd::bench
