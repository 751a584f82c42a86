#include "supervisor/frontend/api/sse_chunks.h"

#include <charconv>

#include "supervisor/frontend/api/json_text.h"

namespace bitnetd::frontend {

SseChunks::SseChunks(const AnswerHead& head, bool include_usage)
    : route_(head.route), suffix_(include_usage ? "],\"usage\":null}\n\n" : "]}\n\n") {
    head_ = "data: {\"id\":";
    append_json_string(head_, head.id);
    head_ += route_ == RouteKind::kChat ? ",\"object\":\"chat.completion.chunk\",\"created\":"
                                        : ",\"object\":\"text_completion\",\"created\":";
    head_ += std::to_string(head.created_unix_s);
    head_ += ",\"model\":";
    append_json_string(head_, head.model);
    head_ += ",\"system_fingerprint\":";
    append_json_string(head_, head.fingerprint);
    head_ += ",\"seed\":" + std::to_string(head.seed) + ",\"choices\":[";
}

void SseChunks::begin(std::string& out, uint32_t index) const {
    char digits[12];
    const auto end = std::to_chars(digits, digits + sizeof digits, index).ptr;
    out += head_;
    out += "{\"index\":";
    out.append(digits, end);
}

void SseChunks::append_role(std::string& out, uint32_t index) const {
    begin(out, index);
    out +=
        ",\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,"
        "\"finish_reason\":null}";
    out += suffix_;
}

void SseChunks::append_text(std::string& out, uint32_t index, std::string_view text,
                            std::string_view logprobs) const {
    begin(out, index);
    out += route_ == RouteKind::kChat ? ",\"delta\":{\"content\":\"" : ",\"text\":\"";
    append_json_escaped(out, text);
    out += route_ == RouteKind::kChat ? "\"},\"logprobs\":" : "\",\"logprobs\":";
    out += logprobs.empty() ? "null" : logprobs;
    out += ",\"finish_reason\":null}";
    out += suffix_;
}

void SseChunks::append_finish(std::string& out, uint32_t index,
                              std::string_view finish_reason) const {
    begin(out, index);
    out += route_ == RouteKind::kChat ? ",\"delta\":{}" : ",\"text\":\"\"";
    out += ",\"logprobs\":null,\"finish_reason\":\"";
    out += finish_reason;
    out += "\"}";
    out += suffix_;
}

void SseChunks::append_usage_chunk(std::string& out, const Usage& usage) const {
    out += head_;
    out += "],\"usage\":";
    append_usage(out, usage);
    out += "}\n\n";
}

void append_error_event(std::string& out, const ApiError& error, std::string_view request_id) {
    out += "data: ";
    out += error_body(error, request_id);
    out += "\n\n";
}

}  // namespace bitnetd::frontend
