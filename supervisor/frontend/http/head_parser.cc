#include "supervisor/frontend/http/head_parser.h"

#include <llhttp.h>

#include "supervisor/frontend/http/chars.h"
#include "supervisor/frontend/http/request_id.h"

namespace bitnetd::frontend::http {
namespace {

// What llhttp tells while it walks through one head.
struct Walk {
    Request& request;
    std::string target;
    bool in_value = false;  // the last span was a header value
    int heads = 0;  // how many heads llhttp saw the end of; anything but 1 is a disagreement
    bool chunked = false;
    bool has_length = false;
    uint64_t content_length = 0;
};

Walk& walk_of(llhttp_t* parser) noexcept {
    return *static_cast<Walk*>(parser->data);
}

int on_url(llhttp_t* parser, const char* at, size_t length) noexcept {
    walk_of(parser).target.append(at, length);
    return 0;
}

int on_header_field(llhttp_t* parser, const char* at, size_t length) noexcept {
    Walk& walk = walk_of(parser);
    auto& headers = walk.request.headers;
    if (headers.empty() || walk.in_value) headers.emplace_back();
    walk.in_value = false;
    std::string& name = headers.back().first;
    for (size_t i = 0; i < length; ++i)
        name.push_back(to_lower(at[i]));
    return 0;
}

int on_header_value(llhttp_t* parser, const char* at, size_t length) noexcept {
    Walk& walk = walk_of(parser);
    walk.in_value = true;
    if (walk.request.headers.empty()) return -1;
    walk.request.headers.back().second.append(at, length);
    return 0;
}

// The flags are read here because llhttp forgets them when the message is complete.
int on_headers_complete(llhttp_t* parser) noexcept {
    Walk& walk = walk_of(parser);
    ++walk.heads;
    walk.chunked = (parser->flags & F_CHUNKED) != 0;
    walk.has_length = (parser->flags & F_CONTENT_LENGTH) != 0;
    walk.content_length = parser->content_length;
    return 1;  // "no body": bodies are not llhttp's business
}

const llhttp_settings_t& settings() {
    static const llhttp_settings_t shared = [] {
        llhttp_settings_t made;
        llhttp_settings_init(&made);
        made.on_url = on_url;
        made.on_header_field = on_header_field;
        made.on_header_value = on_header_value;
        made.on_headers_complete = on_headers_complete;
        return made;
    }();
    return shared;
}

bool agree(const llhttp_t& parser, const Walk& walk, const Head& head) {
    const auto method = static_cast<llhttp_method_t>(parser.method);
    return walk.heads == 1 && parser.http_major == 1 && parser.http_minor == head.minor_version &&
           to_string(*head.method) == llhttp_method_name(method) && walk.chunked == head.chunked &&
           walk.has_length == head.content_length.has_value() &&
           (!walk.has_length || walk.content_length == *head.content_length);
}

// "/path?query", "*" or "http://authority/path?query".
void split_target(std::string_view target, Request& request) {
    if (const size_t scheme = target.find("://"); target[0] != '/' && scheme != target.npos) {
        const size_t end = target.find_first_of("/?", scheme + 3);
        target = end == target.npos ? std::string_view() : target.substr(end);
    }
    const size_t mark = target.find('?');
    request.path = target.substr(0, mark);
    if (request.path.empty()) request.path = "/";
    if (mark != target.npos) request.query = target.substr(mark + 1);
}

}  // namespace

bool parse_head(std::string_view bytes, const Head& head, Request& request) {
    Walk walk{.request = request, .target = {}};
    llhttp_t parser;
    llhttp_init(&parser, HTTP_REQUEST, &settings());
    parser.data = &walk;
    const llhttp_errno_t result = llhttp_execute(&parser, bytes.data(), bytes.size());
    // An Upgrade header makes llhttp stop at the end of the head; we stay with HTTP/1.1, as any
    // server may.
    if (result != HPE_OK && result != HPE_PAUSED_UPGRADE) return false;
    if (!agree(parser, walk, head) || walk.target.empty()) return false;

    request.method = *head.method;
    split_target(walk.target, request);
    for (auto& [name, value] : request.headers) {
        if (const std::string_view trimmed = trim(value); trimmed.size() != value.size()) {
            value = std::string(trimmed);
        }
    }
    if (const std::string_view id = request.header("x-request-id"); is_sane_request_id(id)) {
        request.request_id = id;
    }
    return true;
}

}  // namespace bitnetd::frontend::http
