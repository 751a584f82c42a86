#include "supervisor/frontend/api/answer.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/base/clock.h"
#include "common/text/utf8.h"
#include "supervisor/frontend/api/json_text.h"

namespace bitnetd::frontend {
namespace {

using Json = nlohmann::ordered_json;

// Called where nothing may be thrown: what is no UTF-8 is replaced.
std::string print(const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string printable(std::string_view bytes) {
    return text::is_utf8(bytes) ? std::string(bytes) : text::replace_ill_formed(bytes);
}

std::string_view bytes_of_token(const text::VocabularyView& vocabulary, uint32_t id) {
    return id < vocabulary.token_count() ? vocabulary.bytes(id) : std::string_view();
}

Json byte_list(std::string_view bytes) {
    Json list = Json::array();
    for (const char byte : bytes)
        list.push_back(static_cast<uint8_t>(byte));
    return list;
}

uint64_t characters(std::string_view text) {
    uint64_t count = 0;
    for (const char byte : text)
        count += (static_cast<uint8_t>(byte) & 0xC0) != 0x80;
    return count;
}

Json chat_score(std::string text, std::string_view bytes, float logprob) {
    return {{"token", std::move(text)},
            {"logprob", json_logprob(logprob)},
            {"bytes", byte_list(bytes)}};
}

Json chat_logprobs(const text::VocabularyView& vocabulary, std::span<const ScoredToken> scores) {
    Json content = Json::array();
    for (const ScoredToken& score : scores) {
        Json entry = chat_score(score.text, bytes_of_token(vocabulary, score.id), score.logprob);
        Json others = Json::array();
        for (const shm::Alternative& other : score.alternatives) {
            const std::string_view bytes = bytes_of_token(vocabulary, other.token);
            others.push_back(chat_score(printable(bytes), bytes, other.logprob));
        }
        entry["top_logprobs"] = std::move(others);
        content.push_back(std::move(entry));
    }
    return {{"content", std::move(content)}, {"refusal", nullptr}};
}

// {"text": logprob, ...}: the likeliest and the token itself. Of several tokens that print alike
// the likeliest is shown.
void append_top_logprobs(std::string& out, const text::VocabularyView& vocabulary,
                         const ScoredToken& score) {
    std::vector<std::pair<std::string, float>> shown;
    const auto show = [&shown](std::string text, float logprob) {
        const auto alike = [&text](const auto& other) { return other.first == text; };
        const auto found = std::find_if(shown.begin(), shown.end(), alike);
        if (found == shown.end())
            shown.emplace_back(std::move(text), logprob);
        else
            found->second = std::max(found->second, logprob);
    };
    for (const shm::Alternative& other : score.alternatives)
        show(printable(bytes_of_token(vocabulary, other.token)), other.logprob);
    show(score.text, score.logprob);
    out += '{';
    for (const auto& [text, logprob] : shown) {
        if (out.back() != '{') out += ',';
        append_json_string(out, text);
        out += ':';
        append_json_number(out, json_logprob(logprob));
    }
    out += '}';
}

// Four arrays with an entry per token. Written by hand: a prompt of thousands of tokens may be
// among them.
void append_completions_logprobs(std::string& out, const text::VocabularyView& vocabulary,
                                 std::span<const ScoredToken> scores, uint64_t& text_offset) {
    std::string tokens, logprobs, top, offsets;
    for (const ScoredToken& score : scores) {
        for (std::string* list : {&tokens, &logprobs, &top, &offsets})
            *list += list->empty() ? "" : ",";
        append_json_string(tokens, score.text);
        if (score.has_logprob) {
            append_json_number(logprobs, json_logprob(score.logprob));
            append_top_logprobs(top, vocabulary, score);
        } else {
            logprobs += "null";
            top += "null";
        }
        offsets += std::to_string(text_offset);
        text_offset += characters(score.text);
    }
    out += "{\"tokens\":[" + tokens + "],\"token_logprobs\":[" + logprobs + "],\"top_logprobs\":[" +
           top + "],\"text_offset\":[" + offsets + "]}";
}

Json or_null(const std::string& text) {
    return text.empty() ? Json() : Json(text);
}

void append_number(std::string& out, std::string_view key, uint64_t value) {
    out += key;
    out += std::to_string(value);
}

void append_choice(std::string& out, RouteKind route, const FinishedChoice& choice,
                   bool wants_logprobs, const text::VocabularyView& vocabulary) {
    append_number(out, "{\"index\":", choice.index);
    if (route == RouteKind::kChat) {
        out += ",\"message\":{\"role\":\"assistant\",\"content\":";
        append_json_string(out, choice.text);
        out += ",\"refusal\":null}";
    } else {
        out += ",\"text\":";
        append_json_string(out, choice.text);
    }
    out += ",\"logprobs\":";
    uint64_t text_offset = 0;
    if (wants_logprobs)
        append_logprobs(out, route, vocabulary, choice.scores, text_offset);
    else
        out += "null";
    out += ",\"finish_reason\":";
    append_json_string(out, finish_reason_of(choice.end));
    out += '}';
}

}  // namespace

std::string_view finish_reason_of(EndReason reason) {
    return reason == EndReason::kStop ? "stop" : "length";
}

double rate_per_second(uint64_t count, uint64_t ns) {
    if (ns == 0) return 0;
    return static_cast<double>(count) * static_cast<double>(kNsPerS) / static_cast<double>(ns);
}

double tokens_per_second(const Usage& usage) {
    return rate_per_second(usage.decoded_tokens, usage.decode_ns);
}

void append_usage(std::string& out, const Usage& usage) {
    Json json = {{"prompt_tokens", usage.prompt_tokens},
                 {"completion_tokens", usage.completion_tokens},
                 {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
                 {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
                 {"performance",
                  {{"queue_ms", milliseconds(usage.queue_ns)},
                   {"prefill_ms", milliseconds(usage.prefill_ns)},
                   {"decode_ms", milliseconds(usage.decode_ns)},
                   {"decode_iterations", usage.decode_iterations},
                   {"tokens_per_second", tokens_per_second(usage)},
                   {"time_to_first_token_ms", milliseconds(usage.first_token_ns)},
                   {"device_used", or_null(usage.device)},
                   {"quantization_used", or_null(usage.quantization)},
                   {"priority", to_string(usage.priority)}}}};
    if (usage.device_changed) json["performance"]["device_changed"] = true;
    out += print(json);
}

void append_logprobs(std::string& out, RouteKind route, const text::VocabularyView& vocabulary,
                     std::span<const ScoredToken> scores, uint64_t& text_offset) {
    if (route == RouteKind::kChat)
        out += print(chat_logprobs(vocabulary, scores));
    else
        append_completions_logprobs(out, vocabulary, scores, text_offset);
}

std::string render_answer(const AnswerHead& head, std::span<const FinishedChoice> choices,
                          const Usage& usage, bool wants_logprobs,
                          const text::VocabularyView& vocabulary) {
    std::string out = "{\"id\":";
    append_json_string(out, head.id);
    out += head.route == RouteKind::kChat ? ",\"object\":\"chat.completion\""
                                          : ",\"object\":\"text_completion\"";
    append_number(out, ",\"created\":", static_cast<uint64_t>(head.created_unix_s));
    out += ",\"model\":";
    append_json_string(out, head.model);
    out += ",\"system_fingerprint\":";
    append_json_string(out, head.fingerprint);
    append_number(out, ",\"seed\":", head.seed);
    out += ",\"choices\":[";
    for (size_t i = 0; i < choices.size(); ++i) {
        if (i > 0) out += ',';
        append_choice(out, head.route, choices[i], wants_logprobs, vocabulary);
    }
    out += "],\"usage\":";
    append_usage(out, usage);
    out += '}';
    return out;
}

}  // namespace bitnetd::frontend
