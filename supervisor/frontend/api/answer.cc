#include "supervisor/frontend/api/answer.h"

#include <nlohmann/json.hpp>

#include "common/base/clock.h"
#include "common/text/utf8.h"
#include "supervisor/frontend/api/json_text.h"

namespace bitnetd::frontend {
namespace {

using Json = nlohmann::ordered_json;

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

// Parallel arrays. The sampled token is always among the alternatives of its place.
Json completions_logprobs(const text::VocabularyView& vocabulary,
                          std::span<const ScoredToken> scores, uint64_t& text_offset) {
    Json tokens = Json::array(), logprobs = Json::array(), top = Json::array();
    Json offsets = Json::array();
    for (const ScoredToken& score : scores) {
        Json others = Json::object();
        for (const shm::Alternative& other : score.alternatives) {
            others[printable(bytes_of_token(vocabulary, other.token))] =
                json_logprob(other.logprob);
        }
        others[score.text] = json_logprob(score.logprob);
        tokens.push_back(score.text);
        logprobs.push_back(json_logprob(score.logprob));
        top.push_back(std::move(others));
        offsets.push_back(text_offset);
        text_offset += characters(score.text);
    }
    return {{"tokens", std::move(tokens)},
            {"token_logprobs", std::move(logprobs)},
            {"top_logprobs", std::move(top)},
            {"text_offset", std::move(offsets)}};
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
    append_json_string(out, choice.finish_reason);
    out += '}';
}

}  // namespace

void append_usage(std::string& out, const Usage& usage) {
    const double decode_s = static_cast<double>(usage.decode_ns) / static_cast<double>(kNsPerS);
    const double rate =
        usage.decode_ns > 0 ? static_cast<double>(usage.completion_tokens) / decode_s : 0.0;
    const Json json = {{"prompt_tokens", usage.prompt_tokens},
                       {"completion_tokens", usage.completion_tokens},
                       {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
                       {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
                       {"performance",
                        {{"queue_ms", milliseconds(usage.queue_ns)},
                         {"prefill_ms", milliseconds(usage.prefill_ns)},
                         {"decode_ms", milliseconds(usage.decode_ns)},
                         {"decode_iterations", usage.decode_iterations},
                         {"tokens_per_second", rate},
                         {"time_to_first_token_ms", milliseconds(usage.first_token_ns)}}}};
    out += json.dump();
}

void append_logprobs(std::string& out, RouteKind route, const text::VocabularyView& vocabulary,
                     std::span<const ScoredToken> scores, uint64_t& text_offset) {
    const Json json = route == RouteKind::kChat
                          ? chat_logprobs(vocabulary, scores)
                          : completions_logprobs(vocabulary, scores, text_offset);
    out += json.dump();
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
