#include "supervisor/frontend/api/operator_access.h"

#include <arpa/inet.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "supervisor/frontend/http/chars.h"

namespace bitnetd::frontend {
namespace {

struct Authority {
    std::string_view host;  // an IPv6 address with its brackets
    std::string_view port;  // may be empty
};

// "host", "host:port", "[v6]", "[v6]:port".
Authority split_authority(std::string_view text) {
    const size_t host_end = text.starts_with('[') ? text.find(']') : 0;
    const size_t colon = text.find(':', host_end == text.npos ? 0 : host_end);
    if (colon == text.npos) return {text, {}};
    return {text.substr(0, colon), text.substr(colon + 1)};
}

std::string lower(std::string_view text) {
    std::string out(text);
    std::transform(out.begin(), out.end(), out.begin(), http::to_lower);
    return out;
}

std::string_view port_or(std::string_view port, std::string_view otherwise) {
    return port.empty() ? otherwise : port;
}

// Names that mean this machine or an address whatever a name server says.
bool is_fixed_host(std::string_view host) {
    const std::string name = lower(host);
    if (name == "localhost" || name.ends_with(".localhost")) return true;
    if (name.starts_with('[') && name.ends_with(']')) return true;
    in_addr address;
    return inet_pton(AF_INET, name.c_str(), &address) == 1;
}

// Whether `origin` is a page of the server that the request was sent to.
bool is_own_origin(std::string_view origin, std::string_view host_header) {
    const bool is_secure = origin.starts_with("https://");
    if (!is_secure && !origin.starts_with("http://")) return false;  // "null" among others
    origin.remove_prefix(origin.find("//") + 2);
    const std::string_view usual_port = is_secure ? "443" : "80";
    const Authority page = split_authority(origin);
    const Authority server = split_authority(host_header);
    return !page.host.empty() && lower(page.host) == lower(server.host) &&
           port_or(page.port, usual_port) == port_or(server.port, usual_port) &&
           is_fixed_host(page.host);
}

bool was_forwarded(const Request& request) {
    return std::any_of(request.headers.begin(), request.headers.end(), [](const auto& field) {
        return field.first == "forwarded" || field.first == "via" || field.first == "x-real-ip" ||
               field.first == "x-forwarded-for";
    });
}

ApiError forbidden(std::string_view code, std::string message, std::string suggestion) {
    ApiError error;
    error.status = 403;
    error.code = code;
    error.message = std::move(message);
    error.suggestion = std::move(suggestion);
    return error;
}

}  // namespace

std::optional<ApiError> refuse_other_than_operator(const Request& request) {
    if (!request.peer.is_local || was_forwarded(request)) {
        return forbidden("role_required",
                         "This route is for operators: clients on the server's own machine.",
                         "Ask on the machine itself, directly: by 127.0.0.1, [::1] or a Unix "
                         "socket.");
    }
    // A second Origin, which no browser sends, must not be overlooked.
    for (const auto& [name, value] : request.headers) {
        if (name != "origin" || is_own_origin(value, request.header("host"))) continue;
        return forbidden("origin_not_allowed",
                         "A web page of another origin may not use this route.",
                         "Open the server's own page by its address or as localhost, or use a "
                         "program that sends no Origin.");
    }
    return std::nullopt;
}

}  // namespace bitnetd::frontend
