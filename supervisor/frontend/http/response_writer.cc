#include "supervisor/frontend/http/response_writer.h"

#include <charconv>

#include "supervisor/frontend/http/chars.h"

namespace bitnetd::frontend::http {
namespace {

std::string_view reason_of(int status) {
    switch (status) {
        case 200:
            return "OK";
        case 202:
            return "Accepted";
        case 204:
            return "No Content";
        case 304:
            return "Not Modified";
        case 400:
            return "Bad Request";
        case 401:
            return "Unauthorized";
        case 403:
            return "Forbidden";
        case 404:
            return "Not Found";
        case 405:
            return "Method Not Allowed";
        case 408:
            return "Request Timeout";
        case 409:
            return "Conflict";
        case 411:
            return "Length Required";
        case 413:
            return "Content Too Large";
        case 414:
            return "URI Too Long";
        case 415:
            return "Unsupported Media Type";
        case 417:
            return "Expectation Failed";
        case 422:
            return "Unprocessable Content";
        case 429:
            return "Too Many Requests";
        case 431:
            return "Request Header Fields Too Large";
        case 500:
            return "Internal Server Error";
        case 501:
            return "Not Implemented";
        case 503:
            return "Service Unavailable";
        case 505:
            return "HTTP Version Not Supported";
        default:
            return "";  // the phrase may be empty, the blank before it may not
    }
}

void append_number(std::string& out, uint64_t number, int base = 10) {
    char digits[20];
    const auto end = std::to_chars(digits, digits + sizeof digits, number, base).ptr;
    out.append(digits, end);
}

// A control character in a value would let it end the line and add headers of its own.
void append_value(std::string& out, std::string_view value) {
    for (const char c : value)
        out.push_back(contains(kControlChars, c) ? ' ' : c);
}

void append_connection(std::string& out, const AnswerHead& head) {
    if (head.closes) {
        out += "Connection: close\r\n";
        return;
    }
    if (head.http_1_0) out += "Connection: keep-alive\r\n";
    out += head.keep_alive;
}

void append_framing(std::string& out, const AnswerHead& head) {
    switch (head.body) {
        case AnswerHead::Body::kMeasured:
            out += "Content-Length: ";
            append_number(out, head.content_bytes);
            out += "\r\n";
            break;
        case AnswerHead::Body::kChunked:
            out += "Transfer-Encoding: chunked\r\n";
            break;
        case AnswerHead::Body::kUntilClose:
        case AnswerHead::Body::kNone:
            break;
    }
}

}  // namespace

void append_answer_head(std::string& out, const AnswerHead& head) {
    out += "HTTP/1.1 ";
    append_number(out, static_cast<uint64_t>(head.status));
    out += ' ';
    out += reason_of(head.status);
    out += "\r\n";
    out += head.date;
    if (!head.content_type.empty() && head.body != AnswerHead::Body::kNone) {
        out += "Content-Type: ";
        out += head.content_type;
        out += "\r\n";
    }
    append_framing(out, head);
    if (head.is_stream) out += "Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n";
    append_connection(out, head);
    out += "x-request-id: ";
    out += head.request_id;
    out += "\r\nopenai-processing-ms: ";
    append_number(out, head.processing_ms);
    out += "\r\n";
    if (head.cross_origin) {
        out +=
            "Access-Control-Allow-Origin: *\r\n"
            "Access-Control-Expose-Headers: x-request-id, openai-processing-ms, Retry-After, "
            "retry-after-ms, x-should-retry\r\n";
    }
    if (head.headers != nullptr) {
        for (const auto& [name, value] : *head.headers) {
            out += name;
            out += ": ";
            append_value(out, value);
            out += "\r\n";
        }
    }
    out += "\r\n";
}

void append_chunk(std::string& out, std::string_view data) {
    append_number(out, data.size(), 16);
    out += "\r\n";
    out += data;
    out += "\r\n";
}

std::string_view DateLine::now() {
    const time_t seconds = time(nullptr);
    if (seconds != rendered_) {
        rendered_ = seconds;
        tm utc{};
        gmtime_r(&seconds, &utc);
        // The C locale: a server never calls setlocale.
        bytes_ = strftime(line_.data(), line_.size(), "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &utc);
    }
    return {line_.data(), bytes_};
}

}  // namespace bitnetd::frontend::http
